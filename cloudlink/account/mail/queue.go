package mail

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	sendTimeout  = 30 * time.Second
	claimLife    = 2 * sendTimeout // after a crash the mail is tried again then
	firstPause   = 2 * time.Second // after the first failed try; doubled each time, with jitter
	longestPause = 10 * time.Minute
	watchPause   = time.Minute // while a mail waits: a clock that is set makes other mails due
	atOnce       = 4           // so that one server that does not answer delays no other mail
)

// LongestWait is longer than any mail waits for its next try. One that is due later was queued while the clock was ahead.
const LongestWait = 2 * longestPause

// Queue sends the mails of a store.
type Queue struct {
	Store       Store
	Mailer      Mailer
	Undelivered Mailer // gets what Mailer did not accept in time; nil for none
	Wake        <-chan struct{}
	Log         *slog.Logger
	Now         func() time.Time // the clock of who queues the mails
}

// Run sends mails as they become due, some at once, until ctx ends.
func (q *Queue) Run(ctx context.Context) {
	var sending sync.WaitGroup
	defer sending.Wait()
	slots := make(chan struct{}, atOnce)
	freed := make(chan struct{}, 1)
	for {
		pause := time.Hour
		if free := atOnce - len(slots); free > 0 {
			now := q.Now()
			due, next, err := q.Store.ClaimMails(now, now.Add(claimLife), free)
			switch {
			case err != nil:
				q.Log.Error("mail queue not read", "err", err)
				pause = firstPause
			case !next.IsZero():
				pause = min(max(0, next.Sub(now)), watchPause)
			}
			for _, m := range due {
				slots <- struct{}{}
				sending.Go(func() {
					if err := q.try(ctx, m); err != nil {
						q.Log.Error("mail queue not written", "mail", m.ID, "err", err)
					}
					<-slots
					select {
					case freed <- struct{}{}:
					default:
					}
				})
			}
			if len(slots) == atOnce {
				pause = time.Hour // until a slot is free
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-q.Wake:
		case <-freed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// try tries one mail. The mail leaves the queue when it was accepted, or refused for good, or has expired.
func (q *Queue) try(ctx context.Context, m Queued) error {
	expired := q.Now().After(m.Expires)
	var err error
	if !expired {
		once, cancel := context.WithTimeout(ctx, sendTimeout)
		err = q.Mailer.Send(once, m.Mail)
		cancel()
	}
	switch {
	case err == nil && !expired:
		return q.Store.DropMail(m, false, time.Time{})
	case expired, errors.Is(err, ErrNever):
		return q.giveUp(ctx, m, err)
	case ctx.Err() != nil: // not the server's fault: the next start tries it at once
		return q.Store.PostponeMail(m, q.Now())
	}
	m.Tries++
	pause := min(firstPause<<min(m.Tries-1, 10), longestPause)
	pause += time.Duration((rand.Float64() - .5) * .5 * float64(pause))
	q.Log.Warn("mail not taken", "mail", m.ID, "tries", m.Tries, "pause", pause.Round(time.Second), "err", err)
	return q.Store.PostponeMail(m, q.Now().Add(pause))
}

// giveUp takes an undeliverable mail out of the queue; the account's history and the log show it.
func (q *Queue) giveUp(ctx context.Context, m Queued, why error) error {
	q.Log.Error("mail given up", "mail", m.ID, "tries", m.Tries, "err", why)
	if q.Undelivered != nil {
		if err := q.Undelivered.Send(ctx, m.Mail); err != nil {
			q.Log.Error("mail given up not kept", "mail", m.ID, "err", err)
		}
	}
	return q.Store.DropMail(m, true, q.Now())
}
