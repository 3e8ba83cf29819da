package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Options are what New checks.
type Options struct {
	Ledger    Ledger
	Roster    Roster
	Discovery Discovery
	Drivers   map[home.Protocol]Driver
	Log       *slog.Logger

	// Wake is called when errands for the account service may wait. It must not block.
	Wake func()
	// Told is called with every row of the house that has changed, one at a time. While it blocks, only the newest row of each
	// device is kept for it. It may be nil.
	Told func(Row)

	Parallel int           // devices probed or moved at once; 16 when zero
	Recheck  time.Duration // how often a current device is asked again; 6 h when zero
	Patience time.Duration // how long one device may take; 1 min when zero
}

// Rekeyer keeps every binding current: it probes what was sighted, and moves what is stale to the account's newest epoch.
type Rekeyer struct {
	o       Options
	changed chan struct{} // the schedule or the account has changed
	alive   chan struct{} // receives once a round of Run, where Alive waits

	reports *reports

	loading sync.Mutex // held while the ledger is read, so that the newest reading counts
	mu      sync.Mutex // guards what follows; never held over I/O
	account home.Account
	creds   []home.Credential // newest first
	rows    map[home.DeviceID]*row
	swept   time.Time
	full    bool                            // there are more rows than a house has
	heirs   map[home.DeviceID]home.DeviceID // new names of devices that were renamed while a job was under way
	due     schedule
	stamp   uint64 // counts what was recorded of single bindings
}

// row is one device of the house: what the roster, the ledger and the last probe say of it.
type row struct {
	device     home.Device
	binding    home.Binding
	stamp      uint64 // when binding was last recorded by itself
	bound      bool
	match      home.Match
	verdict    home.Verdict // of the last probe, for a device that is not bound; else the binding's counts
	since      time.Time
	busy       bool        // one job at a time for a device
	again      bool        // due once more when the job ends
	restart    bool        // its owner wants it restarted where it cannot be moved
	says       home.Device // name, model and kind, as the device told its driver
	misses     int         // probes in a row without an answer
	missed     time.Time   // when the last of them was
	nudges     int         // in a row
	left       time.Time   // when it was last seen to leave; zero while it is here
	unrecorded int         // tries in a row that the ledger could not record
	trouble    error       // why the last try to move it did not; nil once it is current
	told       Row
}

// New checks o, all of it, and returns a Rekeyer. Run starts it.
func New(o Options) (*Rekeyer, error) {
	var errs []error
	if o.Ledger == nil || o.Roster == nil || o.Discovery == nil || o.Log == nil {
		errs = append(errs, errors.New("ledger, roster, discovery and log are needed"))
	}
	if o.Parallel < 0 || o.Recheck < 0 || o.Patience < 0 {
		errs = append(errs, fmt.Errorf("parallel %d, recheck %v, patience %v: none may be negative", o.Parallel, o.Recheck, o.Patience))
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
	if o.Told == nil {
		o.Told = func(Row) {}
	}
	return &Rekeyer{
		o: o, changed: make(chan struct{}, 1), alive: make(chan struct{}), rows: map[home.DeviceID]*row{},
		heirs: map[home.DeviceID]home.DeviceID{}, reports: newReports(),
	}, nil
}

// Run keeps the house until ctx ends.
func (r *Rekeyer) Run(ctx context.Context) error {
	if err := r.load(); err != nil {
		return err
	}
	var parts sync.WaitGroup
	defer parts.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	parts.Go(func() { r.discover(ctx) })
	parts.Go(func() { r.reports.drain(ctx, r.o.Told) })

	free := make(chan struct{}, r.o.Parallel)
	for {
		next, jobs := r.take(time.Now(), r.o.Parallel-len(free))
		for _, id := range jobs {
			free <- struct{}{}
			parts.Go(func() {
				r.mend(ctx, id)
				<-free
				r.poke()
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.changed:
		case r.alive <- struct{}{}:
		case <-time.After(time.Until(next)):
		}
	}
}

// discover feeds the house what is sighted. When discovery fails it is started anew, more slowly each time.
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

// row returns the device's row, a new one when there is none; r.mu is held.
func (r *Rekeyer) row(id home.DeviceID) *row {
	w, ok := r.rows[id]
	if !ok {
		w = &row{device: home.Device{ID: id}, match: home.Unknown}
		r.rows[id] = w
	}
	return w
}

// schedule has the device looked at, at the given time, unless it goes by another name now; r.mu is held.
func (r *Rekeyer) schedule(id home.DeviceID, at time.Time) {
	w := r.rows[id]
	if w == nil {
		return
	}
	if w.busy && !at.After(time.Now()) {
		w.again = true
		return
	}
	r.due.add(id, at)
	r.poke()
}

func (r *Rekeyer) poke() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// take returns up to n devices that are due, and when the next one is.
func (r *Rekeyer) take(now time.Time, n int) (next time.Time, ids []home.DeviceID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(ids) < n {
		id, ok := r.due.pop(now)
		if !ok {
			return r.due.next(now.Add(time.Hour)), ids
		}
		w := r.rows[id]
		if w == nil {
			continue // renamed meanwhile
		}
		if w.busy {
			w.again = true
			continue
		}
		w.busy = true
		ids = append(ids, id)
	}
	return now.Add(time.Hour), ids // a job that ends pokes
}

// jitter spreads what would otherwise happen in one instant.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
