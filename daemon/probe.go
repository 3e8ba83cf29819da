package daemon

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Probed is a device as a probe has just found it, and what an order to rekey would do to it.
type Probed struct {
	Row
	Plan string `json:"plan"`
}

// Probe asks devices what they hold, and changes nothing; all that are here and that a driver speaks to where ids is empty. Unknown devices
// are home.ErrNotFound. A device that somebody works on is waited for, as long as ctx lasts.
func (r *Rekeyer) Probe(ctx context.Context, ids []home.DeviceID) ([]Probed, error) {
	r.mu.Lock()
	if len(ids) == 0 {
		for id, w := range r.rows {
			if w.bound || w.left.IsZero() && r.o.Drivers[w.device.Protocol] != nil {
				ids = append(ids, id)
			}
		}
	}
	for _, id := range ids {
		if r.rows[id] == nil {
			r.mu.Unlock()
			return nil, &home.Error{Op: "probe", Device: id, Err: home.ErrNotFound, Hint: "see which devices were found with: rekeyd devices"}
		}
	}
	r.mu.Unlock()
	out := make([]Probed, len(ids))
	free := make(chan struct{}, r.o.Parallel)
	var all sync.WaitGroup
	for i, id := range ids {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			out[i] = r.probeOne(ctx, id)
		})
	}
	all.Wait()
	out = slices.DeleteFunc(out, func(p Probed) bool { return p.ID == "" }) // renamed meanwhile
	slices.SortFunc(out, func(a, b Probed) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}

func (r *Rekeyer) probeOne(ctx context.Context, id home.DeviceID) Probed {
	ctx, stop := context.WithTimeout(ctx, r.o.Patience)
	defer stop()
	d, c, err := r.borrow(ctx, id)
	if err == nil {
		defer r.release(id)
	}
	driver := r.o.Drivers[d.Protocol]
	f := home.Finding{Match: home.Unknown, Device: d, Verdict: home.Verdict{State: home.Unsupported}}
	switch {
	case err != nil:
		f.Verdict = home.Verdict{State: home.Unreachable, Detail: err.Error()}
	case driver != nil:
		if f, err = probe(ctx, driver, d, c); err != nil {
			f.Verdict = home.Verdict{State: home.Unasked, Detail: err.Error()}
		}
	}
	if err == nil {
		r.found(d, f)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.rows[id]
	if w == nil {
		return Probed{}
	}
	as := *w
	as.match = f.Match
	p := Probed{Row: r.present(&as, f.Verdict)}
	p.Plan = plan(p.Row, f, r.account)
	return p
}

// plan says what an order to rekey would do to a device that was found so.
func plan(row Row, f home.Finding, a home.Account) string {
	old := "what it holds"
	switch v := f.Verdict; {
	case v.State == home.Current:
		return "nothing: it holds the newest password"
	case f.Match == home.Foreign:
		return "nothing: it belongs to another account"
	case !row.Bound && (f.Match == home.Ours || f.Match == home.Unbound):
		return "nothing: it is not bound; " + bindIt(row)
	case v.State == home.Unreachable:
		return "nothing now: it is moved when it is seen again"
	case !movable(f):
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
	if row.Protocol.Cleartext() && !a.CleartextBind {
		return "nothing: passwords may not go in the clear; " + allowIt
	}
	return fmt.Sprintf("would be moved from %s to password %d", old, a.Epoch)
}

func bindIt(row Row) string {
	return "bind it with: rekeyd bind " + home.InCommand(cmp.Or(row.Name, string(row.ID)))
}
