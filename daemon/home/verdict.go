package home

import (
	"fmt"
	"strings"
	"time"
)

// State is a verdict as one word.
type State string

// The results of a probe. Hint has the advice for a person where one has to act.
const (
	Current       State = "current"         // the newest credential
	Stale         State = "stale"           // an older credential: Verdict.Epoch, 0 where the protocol does not show it
	WrongCase     State = "wrong-case"      // one of Verdict.Epoch, with the e-mail address in other letter case
	Default       State = "default"         // the maker's factory credential
	Blank         State = "blank"           // none: the device was never bound
	ForeignHeld   State = "foreign"         // another account's
	Mismatch      State = "mismatch"        // none of the known credentials
	ThirdPartyOff State = "third-party-off" // not known: the app's Third-Party Compatibility switch is off
	LockedOut     State = "locked-out"      // not known: it accepts no sign-in until Verdict.Until
	Waiting       State = "waiting"         // not known: its sign-ins are used up until Verdict.Until
	Refusing      State = "refusing"        // not known: it refused many sign-ins in a row, and gets one at an order
	Unreachable   State = "unreachable"     // not known: no answer
	Unsupported   State = "unsupported"     // not known: no driver speaks its protocol
	Unasked       State = "not-asked"       // not known: it was never probed
	Reverted      State = "reverted"        // Verdict.Epoch or none, after it dropped the newest credential twice
	WasReset      State = "was-reset"       // Default or Blank, after it held the account's credential: or another device
	Downgraded    State = "downgraded"      // not known: its protocol proves less than the one it used before
	Pending       State = "pending"         // the newest, which it could not try yet: it was offline to its cloud
)

// States returns every state, in the order above.
func States() []State {
	return []State{
		Current, Stale, WrongCase, Default, Blank, ForeignHeld, Mismatch, ThirdPartyOff, LockedOut, Waiting, Refusing,
		Unreachable, Unsupported, Unasked, Reverted, WasReset, Downgraded, Pending,
	}
}

// outdated reports whether a device of the account that is found so lacks the newest credential and can be given it.
func (s State) outdated() bool { return s == Stale || s == WrongCase || s == Default || s == Blank }

// mayStillHold reports whether a device that is found so may hold the credential that it held before.
func (s State) mayStillHold() bool {
	switch s {
	case Current, Unreachable, LockedOut, Waiting, Refusing, ThirdPartyOff, Unasked, Downgraded:
		return true
	}
	return false
}

// Waits reports whether a device that is found so is left alone until Verdict.Until.
func (s State) Waits() bool { return s == LockedOut || s == Waiting }

// Verdict is the result of a probe: which credential the device holds. It is evidence: Current means that a probe saw
// the device prove it.
type Verdict struct {
	State  State
	Epoch  Epoch     // for Current, Stale, WrongCase and Reverted
	Until  time.Time // for LockedOut and Waiting
	Detail string    // for people, partly in the device's own words; never a secret
}

// Same reports whether two verdicts mean the same to a person. Detail is not compared.
func (v Verdict) Same(w Verdict) bool {
	return v.State == w.State && v.Epoch == w.Epoch && v.Until.Equal(w.Until)
}

// Against returns the verdict as it stands when the account's newest epoch is newest: what was current before a reset
// is stale after it.
func (v Verdict) Against(newest Epoch) Verdict {
	switch {
	case v.State == Current && v.Epoch < newest:
		v.State = Stale
	case v.State == Stale && v.Epoch == newest && newest != 0:
		v.State = Current
	}
	return v
}

// LockTime is how long a lock-out is believed: no longer than cameras lock (devices/PROTOCOLS.md, section 2.3). A
// device reports a lock-out before it has proved anything, so any host that answers at its address can claim one.
const LockTime = 30 * time.Minute

// GreetTime is the pause before a device that reported a lock-out is asked again: a greeting costs it no sign-in.
const GreetTime = 5 * time.Minute

// Believed returns the verdict with the part of a lock-out that is believed.
func (v Verdict) Believed(now time.Time) Verdict {
	if last := now.UTC().Add(LockTime).Round(time.Second); v.State == LockedOut && v.Until.After(last) {
		v.Until = last
	}
	return v
}

// HoldsOlder reports whether the device proved that it holds an older credential of the account, or one in other
// letter case.
func (v Verdict) HoldsOlder() bool { return v.State == Stale || v.State == WrongCase }

// InCommand returns a device's name as it is typed in a command line.
func InCommand(name string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.:+-", r)
	}
	if name != "" && !strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) && name[0] != '-' {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

// Hint returns in one sentence what a person can do. It is empty where rekeyd needs no person.
func (v Verdict) Hint(name string) string {
	command := InCommand(name)
	switch v.State {
	case Current, Stale:
		return ""
	case Unasked:
		return "sign in, if you have not yet, with: rekeyd login EMAIL"
	case Pending:
		return fmt.Sprintf("give %s access to the internet; it signs in as soon as it reaches its cloud", name)
	case WrongCase:
		return fmt.Sprintf(
			"add %s again in its app, with the e-mail address spelled as it was registered, if rekeyd cannot move it",
			name,
		)
	case Reverted:
		return fmt.Sprintf(
			"see that %s is online in its app, and signed in to your account there; then run: rekeyd rekey %s",
			name,
			command,
		)
	case Default, Blank:
		return fmt.Sprintf("add %s to your account, in its app or with: rekeyd bind %s", name, command)
	case WasReset:
		return fmt.Sprintf("if you reset %s, or put another device in its place, give it your password with: rekeyd bind %s",
			name, command)
	case Downgraded:
		return fmt.Sprintf("if you replaced %s, unbind it and bind it again: rekeyd unbind %s; rekeyd bind %s",
			name, command, command)
	case ForeignHeld:
		return fmt.Sprintf("nothing, unless %s is yours: then remove it from the other account in its app first", name)
	case Mismatch:
		return fmt.Sprintf(
			"if you remember an earlier password, give it with: rekeyd import; else see that no other device has taken the "+
				"address of %s, and change its password in its own app, or turn on Third-Party Compatibility there, reset it "+
				"to factory settings and add it again",
			name,
		)
	case ThirdPartyOff:
		return fmt.Sprintf(
			"turn on Third-Party Compatibility in the Tapo app, then run: rekeyd rekey %s; if it is on, this firmware "+
				"speaks TPAP only: change its password in its own app",
			command,
		)
	case LockedOut, Waiting:
		format := "15:04"
		if time.Until(v.Until) > 12*time.Hour {
			format = "2 January, 15:04"
		}
		return fmt.Sprintf("wait until %s; rekeyd tries again by itself", v.Until.Local().Format(format))
	case Refusing:
		return fmt.Sprintf("once you know that it has a password of yours, run: rekeyd rekey %s; else change its "+
			"password in its own app, or reset it to factory settings and add it again", command)
	case Unreachable:
		if v.Detail == ErrSlow.Error() {
			return fmt.Sprintf("bring %s nearer to the router, or restart it, if this lasts; rekeyd tries again by itself", name)
		}
		return fmt.Sprintf("switch %s on and see that it is in the network; rekeyd goes on by itself when it is seen", name)
	case Unsupported:
		return fmt.Sprintf("change the password of %s in its own app, because rekeyd cannot do it", name)
	}
	return ""
}
