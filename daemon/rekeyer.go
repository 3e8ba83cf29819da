package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Options are checked by New.
type Options struct {
	Ledger    Ledger
	Roster    Roster
	Discovery Discovery
	Drivers   map[home.Protocol]Driver
	Log       *slog.Logger

	// Wake is called when errands for the account service may wait. It must not block.
	Wake func()
	// Changed is called with every row of the house that has changed, one at a time. While it blocks, only the newest
	// row of each device is kept for it. It may be nil.
	Changed func(Row)

	// Turn returns which hub of the account moves a device. nil where this hub moves each.
	Turn func(home.DeviceID) home.Turn

	// Parallel is the number of slots: devices probed or moved at once. Unbound devices use a quarter of them, at least
	// one. 16 when zero.
	Parallel int
	Recheck  time.Duration // pause between probes of a current device; 6 h when zero
	Patience time.Duration // time limit of one job; 1 min when zero
}

// Rekeyer keeps every binding current: it probes the devices that are sighted, and moves the stale ones to the newest
// epoch of the account. This file is its scheduler; what happens to a device is in mend.go.
//
// The ledger is authoritative for the account and the bindings, the roster for the devices on the network. The
// Rekeyer itself knows only what neither has: see memory.
type Rekeyer struct {
	o       Options
	wake    chan struct{} // the schedule has changed
	alive   chan struct{} // receives once a round of Run, where Alive waits
	reports *reports
	started time.Time
	rekeys  atomic.Uint64 // devices moved since then
	finds   *rate.Limiter // of log lines on devices that are not bound: anyone can announce anything

	mu       sync.Mutex // guards the fields below; never held over I/O
	memories map[home.DeviceID]*memory
	isBound  map[home.DeviceID]bool  // as of the last adopt
	due      schedule[home.DeviceID] // bound devices
	unbound  unbound
	swept    time.Time
	full     bool // there are more devices than a house has
}

// job is one run of mend.
type job struct {
	id      home.DeviceID
	unbound bool       // it occupies one of the slots for unbound devices
	addr    netip.Addr // of an unbound device
}

// New checks o and returns a Rekeyer. Run starts it.
func New(o Options) (*Rekeyer, error) {
	var errs []error
	if o.Ledger == nil || o.Roster == nil || o.Discovery == nil || o.Log == nil {
		errs = append(errs, errors.New("ledger, roster, discovery and log are needed"))
	}
	if o.Parallel < 0 || o.Recheck < 0 || o.Patience < 0 {
		errs = append(
			errs,
			fmt.Errorf("parallel %d, recheck %v, patience %v: none may be negative", o.Parallel, o.Recheck, o.Patience),
		)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("rekeyer: %w", err)
	}
	if o.Parallel == 0 {
		o.Parallel = 16
	}
	if o.Recheck == 0 {
		o.Recheck = 6 * time.Hour
	}
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	if o.Wake == nil {
		o.Wake = func() {}
	}
	if o.Turn == nil {
		o.Turn = func(home.DeviceID) home.Turn { return home.Turn{Mine: true} }
	}
	if o.Changed == nil {
		o.Changed = func(Row) {}
	}
	return &Rekeyer{
		o: o, wake: make(chan struct{}, 1), alive: make(chan struct{}), memories: map[home.DeviceID]*memory{},
		finds:   rate.NewLimiter(rate.Every(time.Minute), 100),
		reports: newReports(), started: time.Now(), unbound: newUnbound(max(1, o.Parallel/4)),
	}, nil
}

// Run keeps the house current until ctx ends.
func (r *Rekeyer) Run(ctx context.Context) error {
	if err := r.start(); err != nil {
		return err
	}
	var parts sync.WaitGroup
	defer parts.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	parts.Go(func() { r.discover(ctx) })
	parts.Go(func() { r.reports.drain(ctx, r.rowsOf, r.o.Changed) })

	busy := make(chan struct{}, r.o.Parallel)
	for {
		next, jobs := r.take(time.Now(), r.o.Parallel-len(busy))
		for _, j := range jobs {
			busy <- struct{}{}
			parts.Go(func() {
				r.mend(ctx, j.id)
				r.end(j)
				<-busy
				r.poke()
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case r.alive <- struct{}{}:
		case <-time.After(time.Until(next)):
		}
	}
}

// discover runs the discovery. When it fails it is started anew, more slowly each time.
func (r *Rekeyer) discover(ctx context.Context) {
	for pause := time.Second; ctx.Err() == nil; pause = min(2*pause, time.Minute) {
		err := r.o.Discovery.Run(ctx, r.see)
		if ctx.Err() != nil {
			return
		}
		r.o.Log.Error("discovery ended", "err", err, "pause", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// schedule plans a job for the device at the given time; r.mu is held.
func (r *Rekeyer) schedule(id home.DeviceID, at time.Time) {
	m := r.memories[id]
	if m == nil {
		return // its device left, and was forgotten
	}
	if m.busy && !at.After(time.Now()) {
		m.repeat = true
		return
	}
	if r.isBound[id] {
		r.due.add(id, at)
	} else {
		r.unbound.add(id, m.addr, at)
	}
	r.poke()
}

func (r *Rekeyer) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// take starts up to n jobs, those of bound devices first: it marks their devices busy. It returns the jobs, and the
// time at which the next device is due.
func (r *Rekeyer) take(now time.Time, n int) (next time.Time, jobs []job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(jobs) < n {
		j, ok := r.pop(now)
		if !ok {
			return r.unbound.next(r.due.next(now.Add(time.Hour))), jobs
		}
		m := r.memories[j.id]
		if m != nil && !m.busy {
			m.busy = true
			jobs = append(jobs, j)
			continue
		}
		if m != nil { // else its device left, and was forgotten
			m.repeat = true
		}
		if j.unbound {
			r.unbound.cancel(j.addr)
		}
	}
	return now.Add(time.Hour), jobs // the end of a job pokes
}

// pop returns the job of a device that is due; r.mu is held.
func (r *Rekeyer) pop(now time.Time) (j job, ok bool) {
	if j.id, ok = r.due.pop(now); ok {
		return j, true
	}
	j.id, j.addr, ok = r.unbound.pop(now)
	j.unbound = ok
	return j, ok
}

// end gives back what the job of an unbound device occupies.
func (r *Rekeyer) end(j job) {
	if !j.unbound {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.memories[j.id]
	r.unbound.done(j.addr, m == nil || m.verdict.State != home.Unreachable, time.Now())
}

// jitter spreads over time what would otherwise happen at once.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
