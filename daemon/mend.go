package daemon

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// This is the story of rekeyd: how one device comes to hold the newest password of its account. Read it from top to
// bottom.

// mend is one job for one device. It probes the device; where the device is bound and holds an older credential, it
// writes down its intent, moves the device, and probes again, because only a probe proves that the move succeeded. In
// the end it plans the next job. No other job or caller works on the device meanwhile.
func (r *Rekeyer) mend(ctx context.Context, id home.DeviceID) {
	defer r.release(id)
	ctx, stop := context.WithTimeout(ctx, r.o.Patience)
	defer stop()
	t, err := r.task(id)
	if err != nil {
		r.postpone(ctx, t, "read", err)
		return
	}
	r.with(id, func(m *memory) { m.addr = t.device.Addr.Addr() })
	switch {
	case t.driver == nil:
		r.keep(t, home.Finding{
			Match: t.device.Claims(t.subject.Account.Email), Device: t.device, Verdict: home.Verdict{State: home.Unsupported},
		})
		return
	case t.subject.Account.ID == "":
		return // nothing to compare with: AccountChanged schedules the device again
	}

	if t.subject.Bound() && r.o.Turn(id).StandsBy(t.subject.Account.Epoch) {
		r.with(id, func(m *memory) { r.schedule(id, time.Now().Add(jitter(r.o.Recheck))) }) // Turns comes first
		return
	}
	if err := r.o.Ledger.Writable(); err != nil { // no device is touched whose state could not be recorded
		r.postpone(ctx, t, "write", err)
		return
	}
	f, err := r.locate(ctx, &t)
	if err != nil {
		r.postpone(ctx, t, "probe", err)
		return
	}
	r.keep(t, f)
	if !t.subject.Bound() {
		if t.subject.Account.BindLater && provedOurs(f) {
			r.bindLater(t.device) // schedules another job
		}
		r.planNext(t, f.Verdict)
		return
	}
	if err := r.record(&t, f); err != nil {
		r.postpone(ctx, t, "record", err)
		return
	}
	terms := t.candidates().Terms
	switch found := t.subject.Binding.Verdict; {
	case found.State == home.Reverted || !mayReceive(f):
		r.leave(ctx, t)
		return
	case !r.o.Turn(id).Mine:
		r.planNext(t, found) // Turns schedules it when this hub may move it
		return
	case terms.Permit(f.Evidence()) != nil:
		r.with(id, func(m *memory) { m.trouble = refusal(f.Device, terms.Permit(f.Evidence())) })
		r.reports.add(id)
		r.planNext(t, found)
		return
	case t.newest().Epoch != t.subject.Account.Epoch:
		return // the grant is outstanding: AccountChanged schedules the device when it is here
	case t.device.Protocol.Info().Ordered:
		if t.try = r.takeTry(id); !t.try {
			r.with(id, func(m *memory) {
				if !errors.Is(m.trouble, home.ErrRefused) { // else it has the result of a try
					m.trouble = notOrdered(f.Device)
				}
			})
			r.reports.add(id)
			r.planNext(t, found)
			return
		}
	}

	moved := r.move(ctx, t)
	f, err = t.probe(ctx)
	if err != nil {
		r.postpone(ctx, t, "probe", err)
		return
	}
	if errors.Is(moved, home.ErrOffline) && f.Verdict.State != home.Current {
		f.Verdict = home.Verdict{State: home.Pending, Detail: moved.Error()}
	}
	r.keep(t, f)
	if err := r.record(&t, f); err != nil {
		r.postpone(ctx, t, "record", err)
		return
	}
	if t.subject.Binding.Verdict.State == home.Current {
		r.rekeys.Add(1)
		r.o.Log.Info("device rekeyed", "device", id, "name", r.nameOf(t.device), "epoch", t.subject.Binding.DeviceEpoch)
		r.planNext(t, t.subject.Binding.Verdict)
		return
	}
	if f.Verdict.State == home.Waiting || f.Verdict.State == home.Refusing { // only another sign-in could show its credential
		r.planNext(t, f.Verdict)
		return
	}
	if moved == nil {
		moved = home.ErrRefused
	}
	r.postpone(ctx, t, "rekey", moved)
	r.restartOnce(ctx, t)
}

// mayReceive reports whether a bound device that was found so may be given the newest credential. Its owner has
// decided that it is to belong to the account; it must be the account's already, or have no owner.
func mayReceive(f home.Finding) bool {
	switch f.Match {
	case home.Ours:
		return f.Verdict.HoldsOlder()
	case home.Unbound:
		return f.Verdict.State == home.Blank || f.Verdict.State == home.Default
	}
	return false
}

// move writes down the intent, and then has the driver give the device the newest credential.
func (r *Rekeyer) move(ctx context.Context, t task) error {
	c := t.candidates()
	m := home.Move{Account: c.Account, To: t.newest(), Known: c.Credentials, Terms: c.Terms, Try: t.try}
	m.DevicePassword, m.Accepted = c.DevicePassword, c.Accepted
	m.Unbinding = func() error { return r.allowFresh(t.device.ID) }
	found := t.subject.Binding.Verdict
	from := found.Epoch
	for _, c := range t.subject.Credentials { // an epoch's address in another letter case comes last
		if c.Epoch == from && from != 0 && (m.From.Epoch == 0 || found.State == home.WrongCase) {
			m.From = c
		}
	}
	if _, err := r.o.Ledger.Intend(t.device.ID, from, m.To.Epoch, time.Now()); err != nil {
		return err
	}
	return t.driver.Rekey(ctx, t.device, m)
}

// leave plans the next job for a bound device that is not moved now. One that holds the newest epoch and has not
// signed in with it is nudged, where its driver can do that.
func (r *Rekeyer) leave(ctx context.Context, t task) {
	b := t.subject.Binding
	n, ok := t.driver.(Nudger)
	done := b.Verdict.State != home.Current || b.CloudEpoch >= t.subject.Account.Epoch
	if !ok || done || !r.o.Turn(t.device.ID).Mine {
		r.planNext(t, b.Verdict)
		return
	}
	if err := n.Nudge(ctx, t.device, t.subject.Account); err != nil {
		r.o.Log.Debug("device not nudged", "device", t.device.ID, "err", err)
	}
	r.with(t.device.ID, func(m *memory) {
		r.schedule(t.device.ID, time.Now().Add(jitter(min(nudgePause<<min(m.nudges, 10), r.o.Recheck))))
		m.nudges++
	})
}

// nudgePause is the first pause after a nudge; it doubles each time.
const nudgePause = 8 * time.Second

// refusal is the trouble of a device that may not receive the password: reason is the error of home.Terms.Permit.
func refusal(d home.Device, reason error) error {
	name := home.InCommand(cmp.Or(d.Name, string(d.ID)))
	hint := ""
	switch {
	case errors.Is(reason, home.ErrCleartext):
		hint = allowIt(name)
	case errors.Is(reason, home.ErrExposed):
		hint = "move it all the same with: rekeyd rekey " + name + ", or all such devices with: rekeyd rekey --all"
	case errors.Is(reason, home.ErrWasReset):
		hint = home.Verdict{State: home.WasReset}.Hint(name)
	}
	return &home.Error{Op: "rekey", Device: d.ID, Err: reason, Hint: hint}
}
