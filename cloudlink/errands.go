package cloudlink

import (
	"maps"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
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

// sendErrands sends the oldest errand that is not deferred, with others of its kind and epoch.
func (l *Link) sendErrands(now time.Time, a home.Account) error {
	if r := l.takeAhead(a); r != nil {
		l.launch(now, r)
		return l.prepare(now, a, r)
	}
	l.mu.Lock()
	committing := maps.Clone(l.committing) // as of before the read: what is committed during it may still be in waiting
	n := len(l.deferred) + len(committing) + l.batch(home.ErrandSignIn)
	l.mu.Unlock()
	waiting, err := l.o.Store.Errands(n)
	if err != nil {
		return err
	}
	waiting = slices.DeleteFunc(waiting, func(e home.Errand) bool { return committing[keyOf(e)] })
	if waiting, err = l.foreignSignIns(a, waiting); err != nil {
		return err
	}
	batch, last := l.pick(now, waiting)
	if len(batch) == 0 {
		return nil
	}
	devices := slices.Sorted(maps.Keys(batch))
	r := &request{
		kind: last.Kind, account: string(a.ID), service: serviceOf(a), epoch: uint64(last.Epoch), errands: batch, last: last,
	}
	send := messages[string(last.Kind)].send
	if send == nil {
		return l.o.Store.Answered(slices.Collect(maps.Values(batch))) // of a version that knew more
	}
	err = send(l, now, a, r, devices)
	l.mu.Lock()
	sent := l.pending
	l.mu.Unlock()
	switch {
	case err != nil:
	case sent == r:
		err = l.prepare(now, a, r)
	case sent == nil:
		l.Wake() // nothing was left to send of these: look for others
	}
	return err
}

// A broker may carry no message of this size (some accept 4,000 bytes), and drops it or ends the connection: a request
// about several devices that was sent four times without an answer is given up. When the hello after it is answered at
// once, requests name half as many devices, for an hour.
const (
	suspectAfter = 4
	halvedFor    = time.Hour
)

// tooLarge reports whether a request that has no answer is to be given up. l.mu is held.
func (l *Link) tooLarge(r *request) bool { return r.sent >= suspectAfter && len(r.errands) > 1 }

// halve takes the answer to a hello that was sent so often: the broker carries small messages. l.mu is held.
func (l *Link) halve(now time.Time, sent int) {
	if l.suspect > 1 && sent == 1 { // else the service was away
		l.most, l.halved = l.suspect/2, now
		l.o.Log.Warn("a request was not answered: the next have fewer devices", "devices", l.suspect, "next", l.most)
	}
	l.suspect = 0
}

// batch is the number of devices of one request. l.mu is held.
func (l *Link) batch(k home.ErrandKind) int {
	n := l.largest(k)
	if l.most > 0 && time.Since(l.halved) < halvedFor {
		n = min(n, l.most)
	}
	return n
}

// largest is the number of devices of one request that the protocol allows.
func (l *Link) largest(k home.ErrandKind) int {
	switch most := messages[string(k)].most; {
	case l.o.Batch > 0:
		return l.o.Batch
	case most > 0:
		return most
	}
	return wire.MaxDevices
}

// pick returns the oldest errand that is not deferred, with others of its kind and epoch, and the last of these.
func (l *Link) pick(now time.Time, waiting []home.Errand) (batch map[string]home.Errand, last home.Errand) {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch = make(map[string]home.Errand, len(waiting))
	for _, e := range waiting {
		if now.Before(l.deferred[keyOf(e)].until) {
			continue
		}
		if len(batch) == 0 || e.Kind == last.Kind && e.Epoch == last.Epoch && len(batch) < l.batch(e.Kind) {
			batch[string(e.Device)], last = e, e
		}
	}
	return batch, last
}

// rest defers errands that the service refused: for a second, then longer each time, up to ten minutes.
func (l *Link) rest(r *request, devices ...string) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range devices {
		e, ok := r.errands[d]
		if !ok {
			continue
		}
		p := l.deferred[keyOf(e)]
		p.until = now.Add(min(time.Second<<min(p.n, 10), 10*time.Minute))
		p.n++
		l.deferred[keyOf(e)] = p
		delete(r.errands, d)
	}
}

// answered ends errands that the service has answered.
func (l *Link) answered(r *request, devices []string) error {
	var done []home.Errand
	for _, d := range devices {
		if e, ok := r.errands[d]; ok {
			done = append(done, e)
		}
	}
	if len(done) == 0 {
		return nil
	}
	if err := l.o.Store.Answered(done); err != nil {
		return err
	}
	l.forget(r, devices)
	return nil
}

// commit takes errands of answered devices out of the request. No other request has them until the store has deleted
// them.
func (l *Link) commit(r *request, devices []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range devices {
		if e, ok := r.errands[d]; ok {
			l.committing[keyOf(e)] = true
			delete(r.errands, d)
			delete(l.deferred, keyOf(e))
		}
	}
}

// forget takes errands that are no longer in the store out of the request.
func (l *Link) forget(r *request, devices []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range devices {
		if e, ok := r.errands[d]; ok {
			delete(r.errands, d)
			delete(l.deferred, keyOf(e))
		}
	}
}
