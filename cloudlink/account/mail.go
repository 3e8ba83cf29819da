package account

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Mail is one mail to one address.
type Mail struct {
	ID      string    `json:"id"` // the same at every try: part of its Message-ID
	To      string    `json:"to"`
	Lang    string    `json:"lang"` // a tag of package language
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	HTML    string    `json:"html,omitempty"` // the same, for programs that show it
	At      time.Time `json:"at"`
	Expires time.Time `json:"expires"` // what it says is worth nothing later
}

// Mailer is how mail leaves. Send returns nil once somebody else has taken the mail, and ErrNever when nobody ever will. It may be called
// again with a mail that was taken: a mail that comes twice is better than none. It is called for several mails at once.
type Mailer interface {
	Send(context.Context, Mail) error
}

// ErrNever is what a Mailer returns for a mail that was refused for good: to try again helps nobody.
var ErrNever = errors.New("refused for good")

// queued is a mail in the queue, sealed: it holds a token.
type queued struct {
	Mail  Mail      `json:"mail"`
	Tries int       `json:"tries"`
	Next  time.Time `json:"next"`

	key []byte // under which it waits
}

const (
	mailTimeout = 30 * time.Second
	mailPause   = 2 * time.Second // after the first try that failed; doubled each time, and none is quite the same
	mailLongest = 10 * time.Minute
	mailAtOnce  = 4      // so that one server that does not answer holds up nobody else's mail
	mailsMost   = 10_000 // in the queue: a flood of registrations must not fill the disk
)

// waitingKey holds how many mails wait: to count them takes as long as there are.
var waitingKey = []byte("mails")

func waiting(tx *bbolt.Tx) uint64 {
	if v := tx.Bucket(bktService).Get(waitingKey); len(v) == 8 {
		return beOf(v)
	}
	return 0
}

// mailKey orders mails by the time when they are due.
func mailKey(due time.Time, n uint64) []byte {
	ms := uint64(0)
	if !due.IsZero() {
		ms = uint64(due.UnixMilli())
	}
	return append(be(ms), be(n)...)
}

// queue queues a mail in the transaction of what it tells of. A mail for which there is no room is dropped.
func (s *Service) queue(tx *bbolt.Tx, m Mail) error {
	count := waiting(tx)
	if count >= mailsMost {
		s.counts.mailFailed.Add(1)
		s.o.Log.Error("mail dropped: too many wait", "waiting", mailsMost)
		return nil
	}
	n, err := tx.Bucket(bktMail).NextSequence()
	if err != nil {
		return err
	}
	m.ID = fmt.Sprintf("%d.%d", n, m.At.UnixNano())
	q := queued{Mail: m, Next: m.At.Truncate(time.Millisecond)}
	return errors.Join(s.putMail(tx, n, q), tx.Bucket(bktService).Put(waitingKey, be(count+1)))
}

func (s *Service) putMail(tx *bbolt.Tx, n uint64, q queued) error {
	raw, err := json.Marshal(q)
	if err != nil {
		return err
	}
	return tx.Bucket(bktMail).Put(mailKey(q.Next, n), s.st.key.Seal(raw, fmt.Sprintf("mail/%d", n)))
}

// takeMail takes a mail out of the queue.
func takeMail(tx *bbolt.Tx, key []byte) error {
	if tx.Bucket(bktMail).Get(key) == nil {
		return nil
	}
	return errors.Join(tx.Bucket(bktMail).Delete(key), tx.Bucket(bktService).Put(waitingKey, be(waiting(tx)-1)))
}

// mailLoop sends what is queued, some at once, until ctx ends.
func (s *Service) mailLoop(ctx context.Context) {
	var sending sync.WaitGroup
	defer sending.Wait()
	out := outgoing{away: map[uint64]bool{}}
	for {
		next, due, err := s.dueMails(out.busy)
		if err != nil {
			s.o.Log.Error("mail queue not read", "err", err)
			next = time.Now().Add(mailPause)
		}
		for n, q := range due {
			if !out.take(n) {
				break // whoever comes back pokes
			}
			sending.Go(func() {
				defer poke(s.mails)
				defer out.back(n)
				if err := s.sendOne(ctx, n, &q); err != nil && ctx.Err() == nil {
					s.o.Log.Error("mail queue not written", "mail", q.Mail.ID, "err", err)
					wait(ctx, mailPause)
				}
			})
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-s.mails:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// outgoing knows which mails are being sent.
type outgoing struct {
	mu   sync.Mutex // guards away
	away map[uint64]bool
}

func (o *outgoing) busy(n uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.away[n]
}

func (o *outgoing) take(n uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.away) >= mailAtOnce {
		return false
	}
	o.away[n] = true
	return true
}

func (o *outgoing) back(n uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.away, n)
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// dueMails returns some mails that are due and not busy, and when the next one is. It looks at no others.
func (s *Service) dueMails(busy func(uint64) bool) (next time.Time, due map[uint64]queued, err error) {
	now := time.Now()
	next, due = now.Add(time.Hour), map[uint64]queued{}
	err = s.st.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bktMail).Cursor()
		for k, box := c.First(); k != nil && len(due) < mailAtOnce; k, box = c.Next() {
			if at := time.UnixMilli(int64(beOf(k))); at.After(now) {
				next = at
				return nil
			}
			n := beOf(k[8:])
			if busy(n) {
				continue
			}
			raw, err := s.st.key.Open(box, fmt.Sprintf("mail/%d", n))
			if err != nil {
				return err
			}
			q := queued{key: bytes.Clone(k)}
			if err := json.Unmarshal(raw, &q); err != nil {
				return fmt.Errorf("mail: %w", home.ErrCorrupt)
			}
			due[n] = q
		}
		return nil
	})
	return next, due, err
}

// sendOne tries one mail. It leaves the queue when it was taken, or when nobody will take it in time.
func (s *Service) sendOne(ctx context.Context, n uint64, q *queued) error {
	late := time.Now().After(q.Mail.Expires)
	var err error
	if !late {
		once, cancel := context.WithTimeout(ctx, mailTimeout)
		err = s.o.Mail.Send(once, q.Mail)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	switch {
	case late, errors.Is(err, ErrNever):
		return s.giveUp(ctx, q, err)
	case err == nil:
		return s.st.Update(func(tx *bbolt.Tx) error { return takeMail(tx, q.key) })
	}
	q.Tries++
	pause := min(mailPause<<min(q.Tries-1, 10), mailLongest)
	pause += time.Duration((rand.Float64() - .5) * .5 * float64(pause)) // those that failed together do not come again together
	q.Next = time.Now().Add(pause)
	s.o.Log.Warn("mail not taken", "mail", q.Mail.ID, "tries", q.Tries, "pause", pause.Round(time.Second), "err", err)
	return s.st.Update(func(tx *bbolt.Tx) error {
		return errors.Join(tx.Bucket(bktMail).Delete(q.key), s.putMail(tx, n, *q))
	})
}

// giveUp ends a mail that nobody takes, and says so where its owner and whoever runs the service see it.
func (s *Service) giveUp(ctx context.Context, q *queued, why error) error {
	s.counts.mailFailed.Add(1)
	s.o.Log.Error("mail given up", "mail", q.Mail.ID, "tries", q.Tries, "err", why)
	if s.o.GivenUp != nil {
		if err := s.o.GivenUp.Send(ctx, q.Mail); err != nil {
			s.o.Log.Error("mail given up not kept", "mail", q.Mail.ID, "err", err)
		}
	}
	return s.st.Update(func(tx *bbolt.Tx) error {
		if a, ok := s.dir.byEmail(q.Mail.To); ok {
			if err := record(tx, a.ID, Event{At: s.now().UnixMilli(), What: "mail given up", Detail: q.Mail.Subject}); err != nil {
				return err
			}
		}
		return takeMail(tx, q.key)
	})
}
