package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// mend looks at one device and, where it is bound and stale, moves it to the newest epoch: probe, write down the intent, move, probe
// again. It plans when the device is looked at next. No other job runs for the device meanwhile.
func (r *Rekeyer) mend(ctx context.Context, id home.DeviceID) {
	defer r.release(id)
	ctx, stop := context.WithTimeout(ctx, r.o.Patience)
	defer stop()

	d, b, bound, c, ok := r.subject(id)
	if !ok {
		return // renamed meanwhile
	}
	driver := r.o.Drivers[d.Protocol]
	if driver == nil {
		r.found(d, home.Finding{Match: d.Claims(c.Account.Email), Device: d, Verdict: home.Verdict{State: home.Unsupported}})
		return
	}
	if c.Account.ID == "" {
		return // whose it is can be told once the hub is signed in: load looks again then
	}
	f, err := probe(ctx, driver, d, c)
	if err != nil {
		r.postpone(ctx, id, "probe", err, b)
		return
	}
	r.found(d, f)
	if !bound {
		r.again(id, f.Verdict)
		return
	}
	observed, err := r.observe(id, f)
	if err != nil {
		r.postpone(ctx, id, "record", err, b)
		return
	}
	b = observed
	f.Verdict = b.Verdict // with what the ledger makes of it: a device may have gone back too often
	if !movable(f) {
		if n, ok := driver.(Nudger); ok && b.Verdict.State == home.Current && b.CloudEpoch < c.Account.Epoch {
			if err := n.Nudge(ctx, d, c.Account); err != nil {
				r.o.Log.Debug("device not nudged", "device", id, "err", err)
			}
			r.mu.Lock()
			if w := r.rows[id]; w != nil { // else renamed meanwhile
				r.schedule(id, time.Now().Add(jitter(min(nudgePause<<min(w.nudges, 10), r.o.Recheck))))
				w.nudges++
			}
			r.mu.Unlock()
			return
		}
		r.again(id, b.Verdict)
		return
	}
	if d.Protocol.Cleartext() && !c.Account.CleartextBind {
		r.held(id, errCleartext)
		r.again(id, b.Verdict)
		return
	}
	if c.Credentials[0].Epoch != c.Account.Epoch {
		return // the grant is outstanding: Began comes when it is here
	}
	err = r.move(ctx, driver, d, b, c)
	f, perr := probe(ctx, driver, d, c)
	if perr != nil {
		r.postpone(ctx, id, "probe", perr, b)
		return
	}
	if errors.Is(err, home.ErrOffline) && f.Verdict.State != home.Current {
		f.Verdict = home.Verdict{State: home.Pending, Detail: err.Error()}
	}
	r.found(d, f)
	observed, oerr := r.observe(id, f)
	if oerr != nil {
		r.postpone(ctx, id, "record", oerr, b)
		return
	}
	switch b = observed; {
	case b.Verdict.State == home.Current:
		r.o.Log.Info("device rekeyed", "device", id, "epoch", b.DeviceEpoch)
		r.again(id, b.Verdict)
	default:
		if err == nil {
			err = home.ErrRefused
		}
		r.postpone(ctx, id, "rekey", err, b)
		r.restart(ctx, driver, d, c)
	}
}

// probe asks the device what it holds. Where the device does not tell whose it is, and holds nothing that is known here, what it said when it
// was found decides whether it is another account's: it is hearsay, but nothing is done for it.
func probe(ctx context.Context, driver Driver, d home.Device, c home.Candidates) (home.Finding, error) {
	f, err := driver.Probe(ctx, d, c)
	if err != nil || f.Match != home.Unknown {
		return f, err
	}
	f.Match = d.Claims(c.Account.Email)
	if f.Match == home.Foreign && f.Verdict.State == home.Mismatch {
		f.Verdict = home.Verdict{State: home.ForeignHeld, Detail: "so it said when it was found"}
	}
	return f, nil
}

// errCleartext is why a device waits that is told its password in the clear.
var errCleartext = &home.Error{Op: "rekey", Err: errors.New("it takes its password only as good as in the clear, and that is not allowed"), Hint: allowIt}

// held keeps why a device is not moved, for people.
func (r *Rekeyer) held(id home.DeviceID, why error) {
	r.mu.Lock()
	if w := r.rows[id]; w != nil {
		w.trouble = why
	}
	r.mu.Unlock()
	r.tell([]home.DeviceID{id})
}

// nudgePause is after how long a device is looked at again that holds the newest epoch and has not signed in; doubled each time.
const nudgePause = 8 * time.Second

// movable tells whether the device may be given the newest credential. It is bound, so its owner has decided that it is to belong to the
// account; it must be theirs already, or nobody's.
func movable(f home.Finding) bool {
	switch f.Match {
	case home.Ours:
		return f.Verdict.Movable()
	case home.Unbound:
		return f.Verdict.State == home.Blank || f.Verdict.State == home.Default
	}
	return false
}

// move writes down the intent and then has the driver act.
func (r *Rekeyer) move(ctx context.Context, driver Driver, d home.Device, b home.Binding, c home.Candidates) error {
	from := b.Verdict.Epoch
	m := home.Move{Account: c.Account, To: c.Credentials[0], Known: c.Credentials}
	for _, cr := range c.Credentials {
		if cr.Epoch == from && from != 0 {
			m.From = cr
		}
	}
	if _, err := r.o.Ledger.Intend(b.Device, from, m.To.Epoch, time.Now()); err != nil {
		return err
	}
	return driver.Rekey(ctx, d, m)
}

// subject returns what a job works on.
func (r *Rekeyer) subject(id home.DeviceID) (d home.Device, b home.Binding, bound bool, c home.Candidates, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.rows[id]
	if w == nil {
		return d, b, false, c, false
	}
	c = home.Candidates{Account: r.account, Credentials: r.creds, Recorded: w.binding.DeviceEpoch}
	return w.device, w.binding, w.bound && len(r.creds) > 0, c, true
}

// observe records what a probe found, and has the link told where the account service must hear of it.
func (r *Rekeyer) observe(id home.DeviceID, f home.Finding) (home.Binding, error) {
	b, err := r.o.Ledger.Observe(id, f.Verdict, f.ProofRank(), time.Now().UTC().Round(0))
	if err != nil {
		return b, err
	}
	r.mu.Lock()
	if w := r.rows[id]; w != nil && w.bound {
		b.CloudEpoch = max(b.CloudEpoch, w.binding.CloudEpoch)
		r.stamp++
		w.binding, w.stamp = b, r.stamp
		if b.Verdict.State == home.Current {
			w.trouble, w.restart, w.unrecorded = nil, false, 0
		}
		if b.CloudEpoch == r.account.Epoch || b.Verdict.State != home.Current {
			w.nudges = 0
		}
	}
	newest := r.account.Epoch
	r.mu.Unlock()
	if b.Verdict.State == home.Current && b.CloudEpoch < newest {
		r.o.Wake()
	}
	r.tell([]home.DeviceID{id})
	return b, nil
}

// found keeps what a probe found, for people.
func (r *Rekeyer) found(d home.Device, f home.Finding) {
	r.mu.Lock()
	w := r.rows[d.ID]
	if w == nil {
		r.mu.Unlock()
		return // renamed meanwhile
	}
	news := false
	if f.Verdict.State != home.Unreachable {
		w.match, w.misses = f.Match, 0
		told := home.Device{Kind: f.Device.Kind, Name: f.Device.Name, Model: f.Device.Model}
		if told.Name != d.Name || opened(f.Verdict.State) { // else it has not said who it is
			news = w.bound && told.Name != "" && told.Name != w.says.Name && told.Name != w.device.Name
			w.says = told
		}
	} else {
		w.misses++
		w.missed = time.Now()
	}
	if !w.verdict.Same(f.Verdict) {
		w.since = time.Now().UTC().Round(0)
	}
	w.verdict = f.Verdict
	if !w.bound {
		w.unrecorded = 0
	}
	r.mu.Unlock()
	if news { // so that its name is known when nobody runs
		d.Name = f.Device.Name
		if err := r.o.Ledger.SaveDevices([]home.Device{d}); err != nil {
			r.o.Log.Error("devices not saved", "err", err)
		}
	}
	r.tell([]home.DeviceID{d.ID})
}

// opened tells whether a device that is found so has told its driver about itself.
func opened(s home.State) bool {
	switch s {
	case home.Current, home.Stale, home.WrongCase, home.Default, home.Blank, home.Pending:
		return true
	}
	return false
}
