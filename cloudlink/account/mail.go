package account

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Mail is one mail to one address.
type Mail struct {
	ID      string    `json:"id"` // the same at every try: part of its Message-ID
	To      string    `json:"to"`
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	At      time.Time `json:"at"`
	Expires time.Time `json:"expires"` // what it says is worth nothing later
}

// Mailer is how mail leaves. Send returns nil once somebody else has taken the mail. It may be called again with a mail that was
// taken: a mail that comes twice is better than none.
type Mailer interface {
	Send(context.Context, Mail) error
}

// queued is a mail in the queue, sealed: it holds a token.
type queued struct {
	Mail  Mail      `json:"mail"`
	Tries int       `json:"tries"`
	Next  time.Time `json:"next"`
}

// queue queues a mail in the transaction of what it tells of.
func (s *Service) queue(tx *bbolt.Tx, m Mail) error {
	n, err := tx.Bucket(bktMail).NextSequence()
	if err != nil {
		return err
	}
	m.ID = fmt.Sprintf("%d.%d", n, m.At.UnixNano())
	return s.putMail(tx, n, queued{Mail: m})
}

func (s *Service) putMail(tx *bbolt.Tx, n uint64, q queued) error {
	raw, err := json.Marshal(q)
	if err != nil {
		return err
	}
	return tx.Bucket(bktMail).Put(be(n), s.st.key.Seal(raw, fmt.Sprintf("mail/%d", n)))
}

const (
	mailTimeout = 30 * time.Second
	mailPause   = 2 * time.Second // after the first try that failed; doubled each time
	mailLongest = 10 * time.Minute
)

// mailLoop sends what is queued, oldest first, until ctx ends.
func (s *Service) mailLoop(ctx context.Context) {
	for {
		next, err := s.sendMails(ctx)
		if err != nil && ctx.Err() == nil {
			s.o.Log.Error("mail queue not processed", "err", err)
			next = time.Now().Add(mailPause)
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

// sendMails sends what is due, and returns when the next is.
func (s *Service) sendMails(ctx context.Context) (time.Time, error) {
	next := time.Now().Add(time.Hour)
	waiting := map[uint64]queued{}
	var order []uint64
	err := s.st.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bktMail).ForEach(func(k, box []byte) error {
			n := beOf(k)
			raw, err := s.st.key.Open(box, fmt.Sprintf("mail/%d", n))
			if err != nil {
				return err
			}
			var q queued
			if err := json.Unmarshal(raw, &q); err != nil {
				return fmt.Errorf("mail: %w", home.ErrCorrupt)
			}
			waiting[n] = q
			order = append(order, n)
			return nil
		})
	})
	if err != nil {
		return next, err
	}
	for _, n := range order {
		q := waiting[n]
		if now := time.Now(); now.Before(q.Next) {
			next = earliest(next, q.Next)
			continue
		}
		if err := s.sendOne(ctx, n, &q); err != nil {
			return next, err
		}
		if !q.Next.IsZero() {
			next = earliest(next, q.Next)
		}
	}
	return next, nil
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// sendOne tries one mail. It leaves the queue when it was taken, or when nobody has taken it for too long.
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
	if err == nil || late {
		if late {
			s.counts.mailFailed.Add(1)
			s.o.Log.Error("mail given up", "mail", q.Mail.ID, "tries", q.Tries)
			if s.o.GivenUp != nil {
				if err := s.o.GivenUp.Send(ctx, q.Mail); err != nil {
					s.o.Log.Error("mail given up not kept", "mail", q.Mail.ID, "err", err)
				}
			}
		}
		q.Next = time.Time{}
		return s.st.Update(func(tx *bbolt.Tx) error {
			if a, ok := s.dir.byEmail(q.Mail.To); late && ok {
				if err := record(tx, a.ID, Event{At: s.now().UnixMilli(), What: "mail given up", Detail: q.Mail.Subject}); err != nil {
					return err
				}
			}
			return tx.Bucket(bktMail).Delete(be(n))
		})
	}
	q.Tries++
	q.Next = time.Now().Add(min(mailPause<<min(q.Tries-1, 10), mailLongest))
	s.o.Log.Warn("mail not taken", "mail", q.Mail.ID, "tries", q.Tries, "pause", time.Until(q.Next).Round(time.Second), "err", err)
	return s.st.Update(func(tx *bbolt.Tx) error { return s.putMail(tx, n, *q) })
}

// code is a token as it is typed: in groups of four.
func code(token string) string {
	var b strings.Builder
	for i, r := range token {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func doorName(door string) string {
	switch door {
	case DoorKasa:
		return "the Kasa app"
	case DoorTPCamera:
		return "the tpCamera app"
	}
	return "the website"
}

func mailReset(a *account, base, token, door string, now time.Time, life time.Duration) Mail {
	return Mail{
		To: a.Email, Subject: "Reset your password", At: now, Expires: now.Add(life),
		Text: fmt.Sprintf(`Somebody asked through %s to reset the password of your account. If it was you, open this link
within %d minutes and choose a new password:

%s/reset#t=%s

Or type this code at %s/reset:

%s

If it was not you, do nothing: nothing has changed.
`, doorName(door), int(life.Minutes()), base, token, base, code(token)),
	}
}

func mailActivate(a *account, base, token string, now time.Time, life time.Duration) Mail {
	return Mail{
		To: a.Email, Subject: "Activate your account", At: now, Expires: now.Add(life),
		Text: fmt.Sprintf(`Somebody registered an account with this address. If it was you, open this link within %d hours:

%s/activate#t=%s

Or type this code at %s/activate:

%s

If it was not you, do nothing.
`, int(life.Hours()), base, token, base, code(token)),
	}
}

func mailTaken(a *account, base string, now time.Time) Mail {
	return Mail{
		To: a.Email, Subject: "You already have an account", At: now, Expires: now.Add(24 * time.Hour),
		Text: fmt.Sprintf(`Somebody tried to register an account with this address, which has one already. If it was you and you forgot the
password, ask for a new one: %s/forgot

If it was not you, do nothing: nothing has changed.
`, base),
	}
}

func mailChanged(a *account, base, door, notMe string, now time.Time) Mail {
	return Mail{
		To: a.Email, Subject: "Your password was changed", At: now, Expires: now.Add(3 * 24 * time.Hour),
		Text: fmt.Sprintf(`The password of your account was changed on %s, through %s. Every app was signed out; sign in
with the new password. Your hubs give it to your devices.

If this was not you, open this link: it signs everybody out, and sends you a mail with which you choose a new password.

%s/notme#t=%s

Or type this code at %s/notme:

%s
`, now.Format("2 January 2006 15:04 UTC"), doorName(door), base, notMe, base, code(notMe)),
	}
}
