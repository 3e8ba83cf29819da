package cloudlink

import (
	"context"
	"errors"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// request is one message to the service that waits for its answer. A member has one at a time: the sequence number
// alone shows the service whether it is new or a repetition. A restart forgets it, and its errands are sent in a new
// one.
type request struct {
	id       string
	seq      uint64
	kind     home.ErrandKind
	account  string
	service  string
	epoch    uint64
	errands  map[string]home.Errand // by device; those still to be answered
	last     home.Errand            // of them in the store's order
	proofs   map[string][]byte      // of a sign-in, by device: the service's, as it has to be
	seal     home.Secret            // of an acknowledgement and an enrolment: seed of the sealing key that it announces
	raw      []byte                 // as it was signed: a repetition is the same bytes
	release  bool                   // of a renewal: it gives the lease back
	deadline time.Time              // for the answer; then it is repeated
	sent     int                    // how often
}

// Kinds of requests without an errand.
const (
	kindHello home.ErrandKind = "hello"
	kindEnrol home.ErrandKind = "enrol"
)

// plan sends requests whenever one is due, until ctx ends.
func (l *Link) plan(ctx context.Context) {
	for {
		next, err := l.round(time.Now())
		if err != nil {
			l.o.Log.Error("outbox not read", "err", err)
			next = time.Now().Add(l.o.Patience)
		}
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-time.After(time.Until(next)):
		}
	}
}

// round repeats the request that has no answer, or sends the next, and returns when it is to be called again.
func (l *Link) round(now time.Time) (time.Time, error) {
	l.mu.Lock()
	online, r, offer := l.online, l.pending, l.offer
	unenrolled, unsealed := !l.o.Secret.IsZero() && !l.member, l.unsealed
	hello := l.asked.IsZero() || now.Sub(l.asked) >= l.o.AskEvery
	l.mu.Unlock()
	if !online {
		return now.Add(time.Hour), nil // up wakes
	}
	l.correctStatus(now)
	if r != nil {
		return l.repeat(now, r), nil
	}
	a, err := l.o.Store.Account()
	switch {
	case offer != nil && !offer.enrolled:
		err = l.enrol(now, offer.pairing.Account, offer)
	case errors.Is(err, home.ErrNoAccount):
		return now.Add(time.Hour), nil
	case err != nil:
		return now, err
	case a.Epoch == 0 && unenrolled || unsealed:
		err = l.enrol(now, string(a.ID), nil)
	case hello:
		err = l.hello(now, a)
	case l.leaseDue(now):
		err = l.renew(now, a)
	default:
		err = l.sendErrands(now, a)
	}
	return l.next(now), err
}

// repeat sends the waiting request again once its deadline is past, and returns the new deadline.
func (l *Link) repeat(now time.Time, r *request) time.Time {
	l.mu.Lock()
	late := !now.Before(r.deadline) && l.pending == r
	if late {
		if !r.deadline.IsZero() { // else the connection is new, and gets its own time for an answer
			l.misses++
			if l.misses%redialAfter == 0 && l.conn != nil {
				l.conn.Redial() // no broker is trusted to carry: this connection may be deaf
			}
		}
		r.deadline = now.Add(l.patience())
		if l.tooLarge(r) {
			l.pending, l.suspect, l.asked = nil, len(r.errands), time.Time{}
			l.mu.Unlock()
			l.Wake()
			return now
		}
		r.sent++
	}
	deadline := r.deadline
	l.mu.Unlock()
	if late {
		l.recordDown()
		l.queue(r.raw)
	}
	return deadline
}

// redialAfter is the number of deadlines in a row without an answer after which the connection is made anew.
const redialAfter = 3

// next returns when the next round is due without a wake.
func (l *Link) next(now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := now.Add(l.o.AskEvery)
	if !l.asked.IsZero() {
		next = l.asked.Add(l.o.AskEvery)
	}
	if l.pending != nil {
		next = earlier(next, l.pending.deadline)
	}
	if l.online {
		next = earlier(next, l.statusDue)
	}
	if l.lease.shared {
		next = earlier(next, l.lease.due)
	}
	if l.enrolAgain.After(now) {
		next = earlier(next, l.enrolAgain)
	}
	for _, p := range l.deferred {
		if p.until.After(now) {
			next = earlier(next, p.until)
		}
	}
	return next
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// patience is the time to wait for the next answer: longer, the longer none has come. l.mu is held.
func (l *Link) patience() time.Duration { return l.o.Patience << min(max(l.misses-1, 0), 4) }

// repeatSoon repeats the request that waits for its answer at once: its message may have been lost.
func (l *Link) repeatSoon() {
	l.mu.Lock()
	if l.pending != nil {
		l.pending.deadline = time.Time{}
	}
	l.mu.Unlock()
	l.Wake()
}

// start signs and sends a request. body receives the ID, which proofs cover.
func (l *Link) start(now time.Time, r *request, body func(id string) wire.Body) error {
	if err := l.sign(now, r, body); err != nil {
		return err
	}
	l.launch(now, r)
	return nil
}

func (l *Link) sign(now time.Time, r *request, body func(id string) wire.Body) (err error) {
	r.id, r.seq = wire.NewID(), l.lastSeq()+1
	l.sent.Add(1)
	m := &wire.Message{ID: r.id, To: r.service, Seq: r.seq, At: now.UnixMilli(), Body: body(r.id)}
	r.raw, err = l.o.Identity.Sign(m)
	return err
}

// lastSeq is the sequence number of the request that was signed last. Only the goroutine of plan signs requests.
func (l *Link) lastSeq() uint64 { return l.o.Boot<<32 | uint64(l.sent.Load()) }

// launch sends a signed request. No other waits for its answer.
func (l *Link) launch(now time.Time, r *request) {
	l.mu.Lock()
	r.deadline = now.Add(l.patience())
	r.sent = 1
	l.pending = r
	l.mu.Unlock()
	l.o.Log.Debug("request sent", "kind", r.kind, "id", r.id, "seq", r.seq)
	l.queue(r.raw)
}

// queue hands a signed message to the sender. It may wait for the socket, but never for an answer.
func (l *Link) queue(raw []byte) {
	select {
	case l.out <- raw:
	case <-time.After(l.o.Patience): // the connection has just ended
	}
}

// finish ends a request. What is left of its errands is sent again.
func (l *Link) finish(r *request) {
	l.mu.Lock()
	if l.pending == r {
		l.pending = nil
	}
	l.mu.Unlock()
	l.Wake()
}

// hello asks for what the member has missed. It queues an acknowledgement, which replaces the sealing key, when that
// key is old.
func (l *Link) hello(now time.Time, a home.Account) error {
	if err := l.replaceOldKey(now, a); err != nil {
		return err
	}
	l.mu.Lock()
	l.asked = now
	l.mu.Unlock()
	notice, _ := wire.ParseNotice(a.NoticeJSON) // the zero notice where the store is of an older format
	return l.start(now, &request{kind: kindHello, account: string(a.ID), service: serviceOf(a)}, func(string) wire.Body {
		return &wire.Hello{Account: string(a.ID), Epoch: uint64(a.Epoch), Notice: notice, Boot: l.o.Boot, Clock: l.clock()}
	})
}

// clock is the member's own clock: milliseconds since its start. It is never set.
func (l *Link) clock() int64 { return time.Since(l.began).Milliseconds() }

func serviceOf(a home.Account) string { return serviceKeys(a).Name(wire.RoleService) }

func serviceKeys(a home.Account) wire.Keys { return wire.Keys{Sign: a.ServiceKey, Seal: a.ServiceSeal} }
