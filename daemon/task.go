package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// task is one device with everything that a job needs to probe or move it.
type task struct {
	device  home.Device
	driver  Driver // nil where no driver speaks its protocol
	subject home.Subject
	try     bool // the owner ordered a move by commands that the device may not accept
}

// task reads what a job for the device needs. The device in it has an ID also after an error.
func (r *Rekeyer) task(id home.DeviceID) (task, error) {
	t := task{device: home.Device{ID: id}}
	d, ok := r.o.Roster.Device(id)
	if !ok {
		return t, home.ErrNotFound
	}
	if d.ID != id {
		return t, fmt.Errorf("it is the same device as %s: %w", d.ID, errAlias)
	}
	t.device, t.driver = d, r.o.Drivers[d.Protocol]
	var err error
	t.subject, err = r.o.Ledger.Subject(id)
	t.subject = t.subject.For(d)
	return t, err
}

// candidates are the credentials that the device may hold, with the terms for it at this moment.
func (t task) candidates() home.Candidates { return t.subject.Candidates(t.device, time.Now()) }

// newest returns the credential of the newest epoch in the vault, a zero one where there is none.
func (t task) newest() home.Credential {
	if len(t.subject.Credentials) == 0 {
		return home.Credential{}
	}
	return t.subject.Credentials[0]
}

// probe asks the device which credential it holds. Where the device does not state its owner, and holds no known
// credential, its announcement decides whether it is another account's: that is no proof, but nothing is sent to the
// device for it.
func (t task) probe(ctx context.Context) (home.Finding, error) {
	c := t.candidates()
	if t.device.Protocol.Info().Rank < c.Terms.Least {
		v := home.Verdict{State: home.Downgraded, Detail: home.ErrWeaker.Error()}
		return home.Finding{Match: home.Unknown, Device: t.device, Verdict: v}, nil
	}
	f, err := t.driver.Probe(ctx, t.device, c)
	f.Verdict = f.Verdict.Believed(time.Now())
	if wait, ok := errors.AsType[home.WaitError](err); ok {
		f.Match, f.Device, f.Verdict, err = home.Unknown, t.device, wait.Verdict(), nil
	}
	f.Verdict = t.subject.Binding.Reset(f.Verdict, c.Terms)
	if err != nil || f.Match != home.Unknown {
		return f, err
	}
	f.Match = t.device.Claims(c.Account.Email)
	if f.Match == home.Foreign && f.Verdict.State == home.Mismatch {
		f.Verdict = home.Verdict{State: home.ForeignHeld, Detail: "it stated so when it was found"}
	}
	return f, nil
}

// keep remembers a finding, to show it. A new name of a bound device is recorded, so that it is shown when no daemon
// runs.
func (r *Rekeyer) keep(t task, f home.Finding) {
	named, waits, found := false, false, false
	r.with(t.device.ID, func(m *memory) {
		if f.Verdict.State == home.Unreachable {
			m.misses++
			m.missed = time.Now()
		} else {
			m.match, m.misses, m.proved = f.Match, 0, provedOurs(f)
			found, m.answered = !m.answered, true
			given := home.Device{Kind: f.Device.Kind, Name: f.Device.Name, Model: f.Device.Model}
			// A driver returns the announced name where the device gave none.
			if given.Name != t.device.Name || identified(f.Verdict.State) {
				named = given.Name != "" && given.Name != m.identity.Name && given.Name != t.device.Name
				m.identity = given
			}
		}
		if !m.verdict.Same(f.Verdict) {
			m.since = time.Now().UTC().Round(0)
		}
		waits = f.Verdict.State == home.Waiting && m.verdict.State != home.Waiting
		m.verdict = f.Verdict
		if !t.subject.Bound() {
			m.unrecorded = 0
		}
	})
	if found && (t.subject.Bound() || r.finds.Allow()) {
		r.o.Log.Info("device found", "device", t.device.ID, "name", r.nameOf(t.device), "kind", t.device.Kind,
			"addr", t.device.Addr, "verdict", f.Verdict.State, "bound", t.subject.Bound())
	}
	if waits {
		r.o.Log.Warn("device waits", "device", t.device.ID, "until", f.Verdict.Until, "reason", f.Verdict.Detail)
	}
	if named && t.subject.Bound() {
		d := t.device
		d.Name = f.Device.Name
		r.save([]home.Device{d})
	}
	r.reports.add(t.device.ID)
}

// provedOurs reports whether the device proved in that conversation that it holds a credential of the account.
func provedOurs(f home.Finding) bool {
	held := f.Verdict.State == home.Current || f.Verdict.HoldsOlder()
	return f.Match == home.Ours && held && f.ProofRank() == home.ProvesFirst
}

// identified reports whether a device that is found so has given its driver name and model.
func identified(s home.State) bool {
	switch s {
	case home.Current, home.Stale, home.WrongCase, home.Default, home.Blank, home.Pending:
		return true
	}
	return false
}

// record writes the finding of a bound device to the ledger, and the binding after it to t. It wakes the link where a
// sign-in was queued.
func (r *Rekeyer) record(t *task, f home.Finding) error {
	b, err := r.o.Ledger.Observe(t.device.ID, f.Verdict, f.ProofRank(), time.Now().UTC().Round(0))
	if err != nil {
		return err
	}
	t.subject.Binding = b
	current := b.Verdict.State == home.Current
	r.with(t.device.ID, func(m *memory) {
		if current {
			m.trouble, m.restart, m.unrecorded = nil, false, 0
		}
		if !current || b.CloudEpoch == t.subject.Account.Epoch {
			m.nudges = 0
		}
	})
	if current && b.CloudEpoch < b.DeviceEpoch {
		r.o.Wake()
	}
	r.reports.add(t.device.ID)
	return nil
}

func (r *Rekeyer) save(ds []home.Device) {
	if err := r.o.Ledger.SaveDevices(ds); err != nil {
		r.o.Log.Error("devices not saved", "err", err)
	}
}
