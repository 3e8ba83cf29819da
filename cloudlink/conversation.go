package cloudlink

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// conversation is one exchange with the service about some errands, or about none (ask, enrol). It is named by the
// message that waits for its answer. Nothing of it survives: what is not answered is begun again.
type conversation struct {
	kind     home.ErrandKind
	account  string
	service  string
	epoch    uint64
	errands  map[string]home.Errand  // by device; those still to be answered
	signs    map[string]*wire.SignIn // by device
	signed   bool                    // the sessions of signs are on disk: a receipt ends it
	deadline time.Time
}

// Kinds of conversations without an errand.
const (
	kindAsk   home.ErrandKind = "ask"
	kindEnrol home.ErrandKind = "enrol"
)

type errandKey struct {
	kind   home.ErrandKind
	device home.DeviceID
}

func keyOf(e home.Errand) errandKey { return errandKey{e.Kind, e.Device} }

// pause is how long an errand rests after the service refused it.
type pause struct {
	until time.Time
	n     int
}

// plan begins conversations whenever something waits, until ctx ends. It sleeps when nothing does.
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

// round gives up what was not answered, begins what waits, and returns when it is to be called next.
func (l *Link) round(now time.Time) (time.Time, error) {
	l.mu.Lock()
	l.giveUp(now)
	online, offer, asked, member := l.online, l.offer, l.asked, l.member
	l.mu.Unlock()
	if !online {
		return now.Add(time.Hour), nil // up pokes
	}
	a, err := l.o.Store.Account()
	switch {
	case offer != nil && !offer.enrolled:
		l.enrol(now, offer.pairing.Service.Name(wire.RoleService), offer)
	case errors.Is(err, home.ErrNoAccount):
		return now.Add(time.Hour), nil
	case err != nil:
		return now, err
	case a.Epoch == 0 && !l.o.Secret.IsZero() && !member:
		l.enrol(now, serviceOf(a), nil)
	default:
		if asked.IsZero() || now.Sub(asked) >= l.o.AskEvery {
			l.ask(now, a)
		}
		if err := l.begin(now, a); err != nil {
			return now, err
		}
	}
	return l.next(now), nil
}

// giveUp forgets conversations that nobody answered in time; l.mu is held.
func (l *Link) giveUp(now time.Time) {
	for id, c := range l.open {
		if now.Before(c.deadline) {
			continue
		}
		if c.kind != kindEnrol || l.turned == 0 { // one that was refused was answered
			l.misses++
		}
		if l.misses > 0 && l.misses%giveUpAfter == 0 && l.conn != nil {
			l.conn.Redial() // no broker is trusted to carry: this connection may be deaf
		}
		if c.kind == kindAsk {
			l.asked = time.Time{}
		}
		l.end(id)
	}
}

// giveUpAfter is after how many unanswered conversations in a row the connection is made anew.
const giveUpAfter = 3

// end forgets a conversation and frees its errands; l.mu is held.
func (l *Link) end(id string) {
	if c, ok := l.open[id]; ok {
		for _, e := range c.errands {
			delete(l.busy, keyOf(e))
		}
		delete(l.open, id)
	}
}

// next returns when the next round is due though nobody pokes.
func (l *Link) next(now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := now.Add(l.o.AskEvery)
	if !l.asked.IsZero() {
		next = l.asked.Add(l.o.AskEvery)
	}
	if l.early {
		next = earlier(next, l.looked.Add(gather))
	}
	for _, c := range l.open {
		next = earlier(next, c.deadline)
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

// patience is how long the next answer is waited for: longer, the longer nobody has answered. l.mu is held.
func (l *Link) patience() time.Duration { return l.o.Patience << min(l.misses, 4) }

// start opens a conversation with its first message.
func (l *Link) start(now time.Time, c *conversation, b wire.Body) {
	m := &wire.Message{ID: wire.NewID(), To: c.service, Body: b}
	l.mu.Lock()
	c.deadline = now.Add(l.patience())
	l.open[m.ID] = c
	for _, e := range c.errands {
		l.busy[keyOf(e)] = true
	}
	l.mu.Unlock()
	l.say(m)
}

// follow goes on with a conversation: re was answered, b is said next.
func (l *Link) follow(c *conversation, re, answer string, b wire.Body) {
	m := &wire.Message{ID: wire.NewID(), Re: answer, To: c.service, Body: b}
	l.mu.Lock()
	_, still := l.open[re]
	if still {
		delete(l.open, re)
		c.deadline = time.Now().Add(l.patience())
		l.open[m.ID] = c
	}
	l.mu.Unlock()
	if still {
		l.say(m)
	}
}

// isOpen tells whether a conversation of the kind is open.
func (l *Link) isOpen(k home.ErrandKind) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.open {
		if c.kind == k {
			return true
		}
	}
	return false
}

func serviceOf(a home.Account) string { return serviceKeys(a).Name(wire.RoleService) }

func serviceKeys(a home.Account) wire.Keys { return wire.Keys{Sign: a.ServiceKey, Seal: a.ServiceSeal} }

// ask asks for every grant since the newest that is on disk.
func (l *Link) ask(now time.Time, a home.Account) {
	if l.isOpen(kindAsk) {
		return
	}
	l.mu.Lock()
	l.asked = now
	l.mu.Unlock()
	l.start(now, &conversation{kind: kindAsk, account: string(a.ID), service: serviceOf(a)},
		&wire.Ask{Account: string(a.ID), Epoch: uint64(a.Epoch)})
}

// gather is how long errands that come while a conversation is open wait for others to share one with.
const gather = 20 * time.Millisecond

// begin opens conversations about waiting errands, as many as the window has room for.
func (l *Link) begin(now time.Time, a home.Account) error {
	for first := true; ; first = false {
		l.mu.Lock()
		room, busy := l.o.Window-len(l.open), len(l.busy)+len(l.deferred)
		l.early = first && len(l.open) > 0 && !l.more && now.Sub(l.looked) < gather
		early := l.early
		l.mu.Unlock()
		if room <= 0 || early {
			return nil
		}
		waiting, err := l.o.Store.Errands(busy + l.o.Batch)
		if err != nil {
			return err
		}
		l.mu.Lock()
		l.looked, l.more = now, len(waiting) == busy+l.o.Batch
		l.mu.Unlock()
		batch := l.pick(now, waiting)
		if len(batch) == 0 {
			return nil
		}
		if err := l.open1(now, a, batch); err != nil {
			return err
		}
	}
}

// pick returns the oldest errand that is free, with others of its kind and epoch.
func (l *Link) pick(now time.Time, waiting []home.Errand) map[string]home.Errand {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := map[string]home.Errand{}
	var lead home.Errand
	for _, e := range waiting {
		if l.busy[keyOf(e)] || now.Before(l.deferred[keyOf(e)].until) {
			continue
		}
		if len(batch) == 0 {
			lead = e
		}
		if e.Kind == lead.Kind && e.Epoch == lead.Epoch && len(batch) < l.o.Batch {
			batch[string(e.Device)] = e
		}
	}
	return batch
}

// open1 opens one conversation about errands of one kind and epoch.
func (l *Link) open1(now time.Time, a home.Account, batch map[string]home.Errand) error {
	devices := slices.Sorted(maps.Keys(batch))
	lead := batch[devices[0]]
	c := &conversation{
		kind: lead.Kind, account: string(a.ID), service: serviceOf(a), epoch: uint64(lead.Epoch), errands: batch,
	}
	switch lead.Kind {
	case home.ErrandAck:
		l.start(now, c, &wire.Ack{Account: c.account, Epoch: c.epoch})
	case home.ErrandUnbind:
		l.start(now, c, &wire.Unbind{Account: c.account, Devices: devices})
	case home.ErrandBind:
		return l.bind(now, a, c, devices)
	case home.ErrandSignIn:
		return l.signIn(now, a, c, devices)
	default:
		return l.o.Store.Answered(slices.Collect(maps.Values(batch))) // of a version that knew more
	}
	return nil
}

// rest puts an errand off that the service refused: for a second, then longer each time, up to ten minutes.
func (l *Link) rest(c *conversation, device string) {
	e, ok := c.errands[device]
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.deferred[keyOf(e)]
	p.until = time.Now().Add(min(time.Second<<min(p.n, 10), 10*time.Minute))
	p.n++
	l.deferred[keyOf(e)] = p
	delete(l.busy, keyOf(e))
	delete(c.errands, device)
}

// answered ends errands that the service has answered.
func (l *Link) answered(c *conversation, devices []string) error {
	var done []home.Errand
	for _, d := range devices {
		if e, ok := c.errands[d]; ok {
			done = append(done, e)
		}
	}
	if len(done) == 0 {
		return nil
	}
	if err := l.o.Store.Answered(done); err != nil {
		return err
	}
	l.mu.Lock()
	for _, e := range done {
		delete(c.errands, string(e.Device))
		delete(l.busy, keyOf(e))
		delete(l.deferred, keyOf(e))
	}
	l.mu.Unlock()
	return nil
}
