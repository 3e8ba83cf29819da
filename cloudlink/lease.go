package cloudlink

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// An account can have several hubs. Each device has one holder, as the service has it: that hub moves the device and
// signs it in. A hub among several renews a lease; the service gives its devices to another hub only after the lease
// has ended. A hub without a lease begins no move. A hub that is alone needs none.

const kindLease home.ErrandKind = "lease"

// lease is this hub's lease, and the list of devices that came with it. Link.mu guards it.
type lease struct {
	shared   bool      // the account has other hubs; on disk, too
	due      time.Time // when the next request is sent; zero for at once
	ended    bool      // this run ends: the lease was given back
	released chan struct{}

	renewed  time.Time // when the request was sent that renewed it last; zero for never in this run
	revision string    // of hubs and devices
	hubs     map[string]wire.Sharer
	devices  map[home.DeviceID]wire.Held

	page page
}

// page is a list on its way.
type page struct {
	began    time.Time // when its first page was asked for
	revision string
	devices  []wire.Held
}

// after returns the ID behind which the next page begins.
func (p page) after() string {
	if len(p.devices) == 0 {
		return ""
	}
	return p.devices[len(p.devices)-1].ID
}

// holds reports whether a lease that was renewed by a request of that time still allows a move to begin. The clock that
// is never set stands still while a machine sleeps, and the other clock can be set: both must agree.
func holds(now, renewed time.Time) bool {
	wall := now.Round(0).Sub(renewed.Round(0))
	return !renewed.IsZero() && now.Sub(renewed) < wire.LeaseTerm && wall >= 0 && wall < wire.LeaseTerm
}

// Turn returns which hub moves a device.
func (l *Link) Turn(id home.DeviceID) home.Turn {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.lease
	if !s.shared {
		return home.Turn{Mine: true}
	}
	d, listed := s.devices[id]
	if listed && d.Hub != l.o.Identity.Name {
		h := s.hubs[d.Hub]
		return home.Turn{Hub: cmp.Or(h.Label, d.Hub), Epoch: home.Epoch(d.SignedIn)}
	}
	return home.Turn{Mine: listed && !s.ended && holds(time.Now(), s.renewed)}
}

// leaseDue reports whether the lease is renewed now.
func (l *Link) leaseDue(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lease.shared && !now.Before(l.lease.due)
}

// renew asks for the lease and the list, or for the next page of it.
func (l *Link) renew(now time.Time, a home.Account) error {
	l.mu.Lock()
	s := &l.lease
	ask := &wire.Lease{Account: string(a.ID), Revision: s.revision, Release: s.ended, After: s.page.after()}
	if ask.After == "" {
		s.page.began = now
	}
	s.due = now.Add(wire.LeaseEvery)
	l.mu.Unlock()
	r := &request{kind: kindLease, account: string(a.ID), service: serviceOf(a), release: ask.Release}
	return l.start(now, r, func(string) wire.Body { return ask })
}

// renewSoon has the lease renewed at once.
func (l *Link) renewSoon() {
	l.mu.Lock()
	l.lease.due = time.Time{}
	l.mu.Unlock()
	l.Wake()
}

// forgetList has the next answer bring the list, to be applied to a binding that was made since.
func (l *Link) forgetList() {
	l.mu.Lock()
	l.lease.revision = ""
	l.mu.Unlock()
}

// leased takes the answer to a renewal. Without a request it is no more than a reason to ask: a repeated one renews
// nothing.
func (l *Link) leased(r *request, m *wire.Message, b *wire.Leased) error {
	a, err := l.o.Store.Account()
	switch {
	case err != nil:
		return err
	case b.Account != string(a.ID):
		return home.ErrForged
	case r == nil && m.Re == "" && l.o.Sharing != nil:
		return l.share(a.ID, true)
	case r == nil || r.kind != kindLease || l.o.Sharing == nil:
		l.ignore(unexpected)
		return nil
	}
	held, changed := l.list(b)
	if b.More {
		l.finish(r)
		return nil
	}
	if changed {
		taken, err := l.o.Sharing.Share(a.ID, held)
		if err != nil {
			l.forgetList()
			return err
		}
		if taken > 0 {
			l.o.Log.Info("devices without a hub are taken over", "devices", taken)
		}
	}
	if err := l.share(a.ID, len(b.Hubs) > 1); err != nil {
		return err
	}
	l.mu.Lock()
	if r.release && l.lease.released != nil {
		close(l.lease.released)
		l.lease.released = nil
	}
	l.mu.Unlock()
	l.finish(r)
	if l.o.Turns != nil {
		l.o.Turns(held, changed)
	}
	return nil
}

// list takes a page in. It returns the whole list, as this hub sees it, and whether the list or the lease have changed.
func (l *Link) list(b *wire.Leased) (held []home.Held, changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.lease
	p := s.page
	s.page = page{}
	lapsed := !holds(time.Now(), s.renewed)
	switch {
	case len(p.devices) == 0 && b.Revision == s.revision: // nothing has changed
		s.renewed = p.began
		return l.standings(nil), lapsed
	case len(p.devices) > 0 && b.Revision != p.revision: // changed between two pages: from the first again
		b.More, s.due = true, time.Time{}
		return nil, false
	case b.More:
		s.page = page{p.began, b.Revision, append(p.devices, b.Devices...)}
		s.due = time.Time{}
		return nil, false
	}
	before := s.devices
	s.renewed, s.revision = p.began, b.Revision
	s.hubs, s.devices = map[string]wire.Sharer{}, map[home.DeviceID]wire.Held{}
	for _, h := range b.Hubs {
		s.hubs[h.ID] = h
	}
	for _, d := range append(p.devices, b.Devices...) {
		s.devices[home.DeviceID(d.ID)] = d
	}
	return l.standings(before), true
}

// standings returns the list as this hub sees it. A device that another hub held before, and that is not in the list
// any more although this hub is, was unbound there. l.mu is held.
func (l *Link) standings(before map[home.DeviceID]wire.Held) (held []home.Held) {
	s := &l.lease
	for id, d := range s.devices {
		h := home.Held{Device: id, MAC: d.MAC, Rank: home.ProofRank(min(d.Rank, uint8(home.ProvesFirst)))}
		h.SignedIn = home.Epoch(d.SignedIn)
		switch {
		case d.Hub == l.o.Identity.Name:
			h.Standing = home.HeldHere
		case s.hubs[d.Hub].Live:
			h.Standing = home.HeldByOther
		default:
			h.Standing = home.Orphaned
		}
		held = append(held, h)
	}
	for id, d := range before {
		_, listed := s.devices[id]
		if _, there := s.hubs[d.Hub]; !listed && there && d.Hub != l.o.Identity.Name {
			held = append(held, home.Held{Device: id, Standing: home.HeldByOther})
		}
	}
	slices.SortFunc(held, func(a, b home.Held) int { return cmp.Compare(a.Device, b.Device) })
	return held
}

// share records whether the account has other hubs. When the first one joins, this hub asks for a lease at once.
func (l *Link) share(id home.AccountID, shared bool) error {
	if err := l.o.Sharing.SetShared(id, shared); err != nil {
		return err
	}
	l.mu.Lock()
	was := l.lease.shared
	l.lease.shared = shared
	l.mu.Unlock()
	if shared && !was {
		l.o.Log.Info("the account has another hub: this one asks for a lease")
		l.renewSoon()
	}
	return nil
}

// release gives the lease back, so that another hub need not wait for its end. It returns when the service has
// answered, or after a second.
func (l *Link) release() {
	l.mu.Lock()
	s := &l.lease
	wait := s.shared && l.online && !s.renewed.IsZero()
	done := make(chan struct{})
	s.ended, s.due, s.page = true, time.Time{}, page{}
	if wait {
		s.released = done
	}
	l.mu.Unlock()
	if !wait {
		return
	}
	l.Wake()
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// foreignSignIns takes the sign-ins of devices that another hub holds out of the errands: that hub signs them in. Those
// that it has signed in, by the service's list, are ended.
func (l *Link) foreignSignIns(a home.Account, waiting []home.Errand) ([]home.Errand, error) {
	l.mu.Lock()
	var done []home.DeviceID
	waiting = slices.DeleteFunc(waiting, func(e home.Errand) bool {
		d, listed := l.lease.devices[e.Device]
		if !l.lease.shared || e.Kind != home.ErrandSignIn || !listed || d.Hub == l.o.Identity.Name {
			return false
		}
		if home.Epoch(d.SignedIn) == e.Epoch && e.Epoch == a.Epoch {
			done = append(done, e.Device)
		}
		return true
	})
	l.mu.Unlock()
	if len(done) == 0 {
		return waiting, nil
	}
	if err := l.o.Store.SignedIn(a.ID, a.Epoch, done); err != nil {
		return nil, err
	}
	if l.o.SignedIn != nil {
		l.o.SignedIn(a.Epoch, done)
	}
	return waiting, nil
}
