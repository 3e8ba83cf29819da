package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Probed is the row of a device that was just probed, with what an order to rekey would do to it.
type Probed struct {
	Row
	Plan string `json:"plan"`
}

// Probe asks devices which credential they hold, and changes nothing; where ids is empty, all that are here and that
// a driver speaks to. Unknown devices are home.ErrNotFound. A device that a job works on is waited for, until ctx
// ends.
func (r *Rekeyer) Probe(ctx context.Context, ids []home.DeviceID) ([]Probed, error) {
	return r.ProbeEach(ctx, ids, func(int, int) {})
}

// ProbeEach is Probe, and reports how many of the devices have been asked: first none, then each time one more. Calls
// of report come one at a time.
func (r *Rekeyer) ProbeEach(ctx context.Context, ids []home.DeviceID, report func(done, of int)) ([]Probed, error) {
	if len(ids) == 0 {
		_, rows, err := r.House()
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if row.Bound || !row.Left && r.o.Drivers[row.Protocol] != nil {
				ids = append(ids, row.ID)
			}
		}
	}
	for _, id := range ids {
		known := false
		r.with(id, func(*memory) { known = true })
		if !known {
			return nil, notFound("probe", id)
		}
	}
	report(0, len(ids))
	var (
		reporting sync.Mutex // guards done, and is held while report runs
		done      int
	)
	out := make([]Probed, len(ids))
	free := make(chan struct{}, r.o.Parallel)
	var all sync.WaitGroup
	for i, id := range ids {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			out[i] = r.probeOne(ctx, id)
			reporting.Lock()
			defer reporting.Unlock()
			done++
			report(done, len(ids))
		})
	}
	all.Wait()
	out = slices.DeleteFunc(out, func(p Probed) bool { return p.ID == "" }) // forgotten meanwhile
	sortBy(out, func(p Probed) Row { return p.Row })
	return out, nil
}

// probeOne returns a zero Probed for a device that is not known any more.
func (r *Rekeyer) probeOne(ctx context.Context, id home.DeviceID) Probed {
	ctx, stop := context.WithTimeout(ctx, r.o.Patience)
	defer stop()
	f := home.Finding{Match: home.Unknown}
	t := task{}
	err := r.acquire(ctx, id)
	if err != nil {
		f.Verdict = home.Verdict{State: home.Unreachable, Detail: err.Error()}
	} else {
		defer r.release(id)
		switch t, err = r.task(id); {
		case errors.Is(err, errAlias), errors.Is(err, home.ErrNotFound):
			return Probed{}
		case err == nil && t.driver == nil:
			f.Device, f.Verdict.State = t.device, home.Unsupported
		case err == nil:
			f, err = r.locate(ctx, &t)
		}
		if err != nil {
			f.Verdict = home.Verdict{State: home.Unasked, Detail: err.Error()}
		} else {
			r.keep(t, f)
		}
	}
	h, err := r.o.Ledger.Subject(id)
	d, ok := r.o.Roster.Device(id)
	if err != nil || !ok {
		return Probed{}
	}
	s := sight{account: h.Account, device: d, binding: h.Binding, bound: h.Bound(), spoken: r.o.Drivers[d.Protocol] != nil}
	if s.bound {
		s.movedBy = r.o.Turn(id).Hub
	}
	r.with(id, func(m *memory) { s.memory = *m })
	s.memory.match = f.Match
	row := s.showAs(f.Verdict)
	return Probed{row, plan(row, f, h.Candidates(d, time.Now()), s.memory.trouble)}
}

// plan describes what an order to rekey would do to a device that was found so. Trouble is why the last try to move it
// failed, if there was one.
func plan(row Row, f home.Finding, c home.Candidates, trouble error) string {
	old := "what it holds"
	switch v := f.Verdict; {
	case v.State == home.Current:
		return "nothing: it holds the newest password"
	case row.MovedBy != "":
		return "nothing: the hub " + row.MovedBy + " moves it"
	case f.Match == home.Foreign:
		return "nothing: it belongs to another account"
	case !row.Bound && v.State != home.Unsupported && (f.Match == home.Ours || f.Match == home.Unbound):
		return "nothing: it is not bound; " + bindIt(row)
	case v.State == home.Unreachable:
		return "nothing now: it is moved when it is seen again"
	case !mayReceive(f):
		if row.Hint == "" {
			return "nothing"
		}
		return "nothing: " + row.Hint
	case v.Epoch != 0:
		old = fmt.Sprintf("password %d", v.Epoch)
	case v.State == home.Default:
		old = "the factory's password"
	case v.State == home.Blank:
		old = "none"
	}
	if row.Protocol.Info().Ordered {
		return "nothing: " + orderIt(cmp.Or(row.Name, string(row.ID)))
	}
	if row.Protocol.Info().OwnLogin && !c.Accepted {
		return "nothing before TP-Link's cloud has accepted the newest password: rekeyd login EMAIL --provider tplink"
	}
	if err := c.Terms.Permit(f.Evidence()); err != nil {
		err = refusal(home.Device{ID: row.ID, Name: row.Name}, err)
		return fmt.Sprintf("nothing: %s; %s", errors.Unwrap(err), home.HintOf(err))
	}
	if hint := home.HintOf(trouble); errors.Is(trouble, home.ErrRefused) && hint != "" {
		return fmt.Sprintf("nothing: it refused the last time; %s", hint)
	}
	return fmt.Sprintf("would be moved from %s to password %d", old, c.Account.Epoch)
}
