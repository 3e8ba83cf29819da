package daemon

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Row is one device as people and programs see it.
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
	Rekeyed  time.Time     `json:"rekeyed,omitzero"` // when it was last seen to have changed to the newest password
	Model    string        `json:"model,omitempty"`
	MAC      string        `json:"mac,omitempty"` // twelve lower hexadecimal digits
	Detail   string        `json:"detail,omitempty"`
	Proved   bool          `json:"proved,omitempty"`        // it proved that it holds a credential of the account
	Consent  bool          `json:"needs_consent,omitempty"` // it may not receive passwords nearly in the clear
	Unproven bool          `json:"unproven,omitempty"`      // its protocol cannot prove which password it holds
	Held     bool          `json:"held,omitempty"`          // it waits for its owner: see home.ErrExposed
	Left     bool          `json:"left,omitempty"`          // it sent a goodbye, or was absent for long
	LeftOut  bool          `json:"left_out,omitempty"`      // its owner unbound it
	Extra    home.JSON     `json:"extra,omitempty"`         // other fields of its announcement
	MovedBy  string        `json:"moved_by,omitempty"`      // the other hub of the account that moves it
	Listed   *bool         `json:"listed,omitempty"`        // the vendor's cloud lists it; absent where that is unknown
}

// sight is all that is known of one device: by the ledger, the roster and the engine.
type sight struct {
	account home.Account
	device  home.Device
	binding home.Binding
	bound   bool
	memory  memory
	spoken  bool          // a driver speaks its protocol
	started time.Time     // of the engine that shows it; zero where none runs
	alias   home.DeviceID // the ID under which it is kept current; empty where that is its own
	leftOut bool
	movedBy string // the other hub that moves it; empty where this one does
}

// verdict returns the verdict to show. A binding is shown as current when both of its ends are: until then it is
// stale, at the lower epoch of the two. What an unbound device held at its last probe counts against today's epoch.
func (s sight) verdict() home.Verdict {
	v := s.memory.verdict.Against(s.account.Epoch)
	switch {
	case s.bound:
		v = s.binding.Verdict
		if v.State == home.Current && !s.binding.Current(s.account.Epoch) {
			v = home.Verdict{
				State: home.Stale, Epoch: min(s.binding.DeviceEpoch, s.binding.CloudEpoch),
				Detail: "it holds the newest password; its sign-in to the account is under way",
			}
		}
		v.State = cmp.Or(v.State, home.Unasked)
		if !s.started.IsZero() && s.memory.verdict.State == "" && (v.State == home.Current || v.HoldsOlder()) {
			v = s.unconfirmed(v)
		}
	case v.State == "" && s.spoken:
		v.State = home.Unasked
	default:
		v.State = cmp.Or(v.State, home.Unsupported)
	}
	return v
}

// unconfirmed returns the verdict of a device that was not asked since the hub started. What it held before is no
// evidence now: the state may be an older copy.
func (s sight) unconfirmed(v home.Verdict) home.Verdict {
	detail := fmt.Sprintf("not asked since %s; it was %s then", clock(s.started), v.State)
	if v.Epoch != 0 {
		detail += fmt.Sprintf(" (password %d)", v.Epoch)
	}
	return home.Verdict{State: home.Unasked, Detail: detail}
}

// clock returns an instant of the last hours for people.
func clock(at time.Time) string {
	if time.Since(at) > 12*time.Hour {
		return at.Local().Format("2 January, 15:04")
	}
	return at.Local().Format("15:04")
}

func (s sight) show() Row { return s.showAs(s.verdict()) }

// showAs returns the row of a device with a given verdict.
func (s sight) showAs(v home.Verdict) Row {
	m := s.memory
	out := Row{
		ID: s.device.ID, Name: cmp.Or(s.binding.Name, m.identity.Name, s.device.Name), Model: cmp.Or(m.identity.Model, s.device.Model),
		Kind: s.device.Kind, Protocol: s.device.Protocol, Extra: s.device.Extra,
		Verdict: v.State, Epoch: v.Epoch, Detail: v.Detail, Match: m.match, Since: m.since, Proved: m.proved,
		Bound: s.bound, Left: !m.left.IsZero(), LeftOut: s.leftOut, MovedBy: s.movedBy,
		Unproven: s.device.Protocol.Info().Rank == home.ToldFirst,
		Consent:  s.needsConsent(v), Held: s.bound && s.binding.Held(s.account, s.device, time.Now()),
	}
	if m.identity.Kind != "" && m.identity.Kind != home.Other {
		out.Kind = m.identity.Kind
	}
	if s.bound {
		out.Since, out.Rekeyed = s.binding.Since, s.binding.Rekeyed
	}
	for _, k := range s.device.Keys {
		if mac, ok := strings.CutPrefix(k, "mac:"); ok {
			out.MAC = mac
			break
		}
	}
	if s.device.Addr.IsValid() {
		out.Addr = s.device.Addr.String()
	}
	name := cmp.Or(out.Name, string(out.ID))
	out.Hint = s.hint(out, v, name)
	if s.bound && m.trouble != nil && v.State != home.Current {
		out.Detail = cmp.Or(out.Detail, m.trouble.Error())
		if s.device.Protocol == home.Native && v.State == home.Blank {
			out.Hint = cmp.Or(home.HintOf(m.trouble), out.Hint) // it is bound, and could not join
		}
		out.Hint = cmp.Or(out.Hint, home.HintOf(m.trouble))
	}
	if s.alias != "" {
		out.Detail = fmt.Sprintf("it is bound twice, also as %s", s.alias)
		out.Hint = "unbind it under this name with: rekeyd unbind " + string(out.ID)
	}
	if out.MovedBy != "" && v.State != home.Current {
		out.Detail, out.Hint = cmp.Or(out.Detail, "the hub "+out.MovedBy+" moves it"), ""
	}
	out.mark(name)
	return out
}

// hint returns what a person can do about a device, nothing where rekeyd needs no person.
func (s sight) hint(row Row, v home.Verdict, name string) string {
	switch {
	case s.bound && s.account.ID != "" && v.State == home.Unasked:
		return "" // it is asked as soon as it is seen
	case s.account.ID == "" && (v.State == home.Mismatch || v.State == home.Unsupported && s.spoken):
		return "sign in, so that its password can be recognised: rekeyd login EMAIL"
	case v.State == home.Unsupported && s.needsConsent(v):
		return s.allowIt(name)
	case s.device.Protocol.Info().OwnLogin && s.account.ID != "" &&
		(v.State == home.Unasked || v.State == home.Mismatch):
		return ownLogin(name)
	case !s.bound && row.Match == home.Ours && (v.State == home.Current || v.HoldsOlder()):
		return bindIt(row)
	case s.bound && (v.State == home.Blank || v.State == home.Default) && s.binding.Consents.Fresh(time.Now()):
		return "" // the hub gives it the password by itself
	}
	return v.Hint(name)
}

// allowIt is the hint to allow a device passwords in the clear, and to give its own one where it wants one.
func (s sight) allowIt(name string) string {
	if s.device.Protocol.Info().OwnLogin && !s.bound {
		return ownLogin(name)
	}
	return allowIt(home.InCommand(name))
}

// ownLogin is the hint to give the password of a device's own.
func ownLogin(name string) string {
	return "give the password of its own web page with: rekeyd bind --device-password " + home.InCommand(name)
}

func bindIt(row Row) string {
	return "bind it with: rekeyd bind " + home.InCommand(cmp.Or(row.Name, string(row.ID)))
}
