package daemon_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/localstore"
)

// lan is a network of played devices: discovery and driver in one.
type lan struct {
	store     *localstore.Store
	sightings chan []home.Sighting

	mu    sync.Mutex // guards held
	held  map[home.DeviceID]*played
	delay time.Duration
}

// played is what one device holds, and how it behaves.
type played struct {
	match   home.Match
	holds   home.Epoch
	off     bool
	refuses bool  // refuses, and stays as it was
	lies    bool  // answers ok, and changes nothing
	answer  error // what Rekey returns in the end, whatever happened
	dumb    bool  // holds none of the credentials, and does not state its owner
	boots   int   // restarts
	inside  int   // calls at this moment
	most    int
	moves   int
	bare    int // moves without an intent on disk
	tries   int // moves that were ordered as a try
	bound   bool
	probes  int

	at netip.AddrPort // the one address at which it speaks its protocol; any when invalid

	waits, waitsAfter time.Time // until when its sign-ins are used up; and from the next move on
}

func (l *lan) Run(ctx context.Context, see func([]home.Sighting)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-l.sightings:
			see(s)
		}
	}
}

func (l *lan) enter(id home.DeviceID) *played {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.held[id]
	p.inside++
	p.most = max(p.most, p.inside)
	return p
}

// now returns a device as it is at this moment.
func (l *lan) now(id home.DeviceID) played {
	l.mu.Lock()
	defer l.mu.Unlock()
	return *l.held[id]
}

// set changes a device.
func (l *lan) set(id home.DeviceID, change func(*played)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l.held[id])
}

func (l *lan) leave(p *played) { l.mu.Lock(); p.inside--; l.mu.Unlock() }

func (l *lan) Probe(_ context.Context, d home.Device, c home.Candidates) (home.Finding, error) {
	p := l.enter(d.ID)
	defer l.leave(p)
	time.Sleep(time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	p.probes++
	p.bound = c.Terms.Bound
	f := home.Finding{Match: p.match, Device: d}
	if !p.waits.IsZero() {
		return f, fmt.Errorf("probe: %w", home.WaitError{Until: p.waits, Reason: "it was sent 3 sign-ins in an hour"})
	}
	switch {
	case p.off, p.at.IsValid() && p.at != d.Addr:
		f.Verdict.State = home.Unreachable
	case p.dumb:
		f.Match, f.Verdict.State = home.Unknown, home.Mismatch
	case p.match == home.Foreign:
		f.Verdict.State = home.ForeignHeld
	case p.match == home.Unbound:
		f.Verdict.State = home.Blank
	default:
		f.Verdict = home.Verdict{State: home.Stale, Epoch: p.holds}.Against(c.Account.Epoch)
	}
	return f, nil
}

func (l *lan) Rekey(_ context.Context, d home.Device, m home.Move) error {
	p := l.enter(d.ID)
	defer l.leave(p)
	intents, err := l.store.Intents()
	written := err == nil &&
		slices.ContainsFunc(intents, func(i home.Intent) bool { return i.Device == d.ID && i.To == m.To.Epoch })
	time.Sleep(l.delay + time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.at.IsValid() && p.at != d.Addr {
		return home.ErrUnreachable
	}
	p.moves++
	p.waits = p.waitsAfter
	if m.Try {
		p.tries++
	}
	if !written {
		p.bare++
	}
	if p.refuses {
		return failure.Rekey(d.ID, home.ErrRefused)
	}
	if !p.lies {
		p.holds, p.match = m.To.Epoch, home.Ours
	}
	return p.answer
}

func (l *lan) Restart(_ context.Context, d home.Device, _ home.Candidates) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[d.ID].boots++
	return nil
}
