package daemon

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Row is one device as people and programs are shown it.
type Row struct {
	ID       home.DeviceID `json:"id"`
	Name     string        `json:"name"`
	Kind     home.Kind     `json:"kind"`
	Protocol home.Protocol `json:"protocol"`
	Addr     string        `json:"addr"`
	Bound    bool          `json:"bound"`
	Verdict  home.State    `json:"verdict"`
	Epoch    home.Epoch    `json:"epoch"`
	Match    home.Match    `json:"account_match"`
	Since    time.Time     `json:"since"`
	Hint     string        `json:"hint"`
	Model    string        `json:"model,omitempty"`
	Detail   string        `json:"detail,omitempty"`
	Left     bool          `json:"left,omitempty"`   // it said goodbye, or was missed for long
	Extra    home.JSON     `json:"extra,omitempty"`  // what else it said when it was found
	Listed   *bool         `json:"listed,omitempty"` // whether the vendor's cloud lists it; absent where that was not asked
}

// House returns every device, by kind and name, with the account as the engine knows it.
func (r *Rekeyer) House() (home.Account, []Row) {
	r.mu.Lock()
	rows := make([]Row, 0, len(r.rows))
	for _, w := range r.rows {
		rows = append(rows, r.show(w))
	}
	a := r.account
	r.mu.Unlock()
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return a, rows
}

// Stored returns the bound devices of a ledger that no engine works with, as they were last known.
func Stored(ledger Reader) (home.Account, []Row, error) {
	a, err := ledger.Account()
	if err != nil && !errors.Is(err, home.ErrNoAccount) {
		return a, nil, err
	}
	bindings, err := ledger.Bindings()
	if err != nil {
		return a, nil, err
	}
	devices, err := ledger.Devices()
	if err != nil {
		return a, nil, err
	}
	r := &Rekeyer{account: a, rows: map[home.DeviceID]*row{}}
	for _, b := range bindings {
		w := r.row(b.Device)
		w.binding, w.bound = b, true
	}
	for _, d := range devices {
		r.row(d.ID).device = d
	}
	a, rows := r.House()
	return a, rows, nil
}

// show makes a row presentable; r.mu is held. A binding is current only when both of its ends are: until then it is shown as stale, at
// the lower of the two.
func (r *Rekeyer) show(w *row) Row {
	v := w.verdict
	if w.bound {
		v = w.binding.Verdict
		switch {
		case v.State == "":
			v.State = home.Unasked
		case v.State == home.Current && !w.binding.Current(r.account.Epoch):
			v = home.Verdict{
				State: home.Stale, Epoch: min(w.binding.DeviceEpoch, w.binding.CloudEpoch),
				Detail: "it holds the newest password; its sign-in to the account is under way",
			}
		}
	} else if v.State == "" {
		v.State = home.Unsupported
		if r.o.Drivers[w.device.Protocol] != nil {
			v.State = home.Unasked
		}
	}
	return r.present(w, v)
}

// present is a row with a verdict; r.mu is held.
func (r *Rekeyer) present(w *row, v home.Verdict) Row {
	out := Row{
		ID: w.device.ID, Name: cmp.Or(w.says.Name, w.device.Name), Kind: w.device.Kind, Protocol: w.device.Protocol, Model: cmp.Or(w.says.Model, w.device.Model),
		Bound: w.bound, Match: w.match, Since: w.since, Left: !w.left.IsZero(), Extra: w.device.Extra,
	}
	if w.says.Kind != "" && w.says.Kind != home.Other {
		out.Kind = w.says.Kind
	}
	if w.bound {
		out.Since = w.binding.Since
	}
	if w.device.Addr.IsValid() {
		out.Addr = w.device.Addr.String()
	}
	name := out.Name
	if name == "" {
		name = string(out.ID)
	}
	out.Verdict, out.Epoch, out.Hint, out.Detail = v.State, v.Epoch, v.Hint(name), v.Detail
	switch {
	case r.account.ID == "" && (v.State == home.Mismatch || v.State == home.Unsupported && tellsLater(w.device.Protocol)):
		out.Hint = "sign in, so that its password can be told: rekeyd login EMAIL"
	case v.State == home.Unsupported && tellsLater(w.device.Protocol) && !r.account.CleartextBind:
		out.Hint = allowIt
	case !w.bound && out.Match == home.Ours && (v.State == home.Current || v.State == home.Stale || v.State == home.WrongCase):
		out.Hint = bindIt(out)
	}
	if w.bound && (v.State == home.Blank || v.State == home.Default) {
		out.Hint = "" // it is the hub that has to do something, and it does
	}
	if w.bound && w.trouble != nil && v.State != home.Current {
		if out.Detail == "" {
			out.Detail = w.trouble.Error()
		}
		if hint := home.HintOf(w.trouble); out.Hint == "" {
			out.Hint = hint
		}
	}
	out.mark(name)
	return out
}

// tellsLater tells whether devices of a protocol, or those of them with old firmware, are told a password before they have proved anything.
func tellsLater(p home.Protocol) bool { return p.Cleartext() || p == home.TapoCam }

// allowIt is what an owner does about those.
const allowIt = "allow it with: rekeyd bind --allow-cleartext-bind"

// tell queues the rows of devices that have changed for Options.Told.
func (r *Rekeyer) tell(ids []home.DeviceID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		w, ok := r.rows[id]
		if !ok {
			continue
		}
		if now := r.show(w); now != w.told {
			w.told = now
			r.reports.add(now) // under r.mu, so that the newest row is queued last
		}
	}
}

func (r *Rekeyer) tellAll() {
	r.mu.Lock()
	ids := make([]home.DeviceID, 0, len(r.rows))
	for id := range r.rows {
		ids = append(ids, id)
	}
	r.mu.Unlock()
	r.tell(ids)
}
