package home

import (
	"fmt"
	"strings"
	"time"
)

// State is the word of a verdict.
type State string

// What a probe can find a device to hold. Every one can be told to a person; Hint says what they can do.
const (
	Current       State = "current"         // the newest credential
	Stale         State = "stale"           // an older one; Verdict.Epoch says which, 0 when the protocol cannot tell
	WrongCase     State = "wrong-case"      // a credential of the account, Verdict.Epoch says which, with its e-mail address in other letter case
	Default       State = "default"         // the maker's factory credential
	Blank         State = "blank"           // none: never bound
	ForeignHeld   State = "foreign"         // it belongs to another account
	Mismatch      State = "mismatch"        // none of the credentials known here
	ThirdPartyOff State = "third-party-off" // the app's Third-Party Compatibility switch is off
	LockedOut     State = "locked-out"      // it takes no logins until Verdict.Until
	Unreachable   State = "unreachable"     // no answer
	Unsupported   State = "unsupported"     // no driver speaks to it
	Unasked       State = "not-asked"       // no probe has asked it yet
	Reverted      State = "reverted"        // it took the new credential twice, and went back to an older one, Verdict.Epoch says which, or to none
	Pending       State = "pending"         // it took the new credential and could not yet try it: it was offline to its cloud
)

// outdated reports whether a device of the account that is found so lacks the newest credential and can be given it.
func (s State) outdated() bool { return s == Stale || s == WrongCase || s == Default || s == Blank }

// mayStillHold reports whether a device that is found so may hold the credential that it held before.
func (s State) mayStillHold() bool {
	return s == Current || s == Unreachable || s == LockedOut || s == ThirdPartyOff || s == Unasked
}

// Verdict is what a probe found a device to hold. It is evidence: Current means a probe saw it.
type Verdict struct {
	State  State
	Epoch  Epoch     // for Current, Stale, WrongCase and Reverted
	Until  time.Time // for LockedOut
	Detail string    // for people: what the device said; never a secret
}

// Same tells whether two verdicts say the same to a person. What a device said in passing is not compared.
func (v Verdict) Same(w Verdict) bool {
	return v.State == w.State && v.Epoch == w.Epoch && v.Until.Equal(w.Until)
}

// Against returns the verdict as it stands when the account's newest epoch is newest: what was current before a reset is stale after it.
func (v Verdict) Against(newest Epoch) Verdict {
	switch {
	case v.State == Current && v.Epoch < newest:
		v.State = Stale
	case v.State == Stale && v.Epoch == newest && newest != 0:
		v.State = Current
	}
	return v
}

// HoldsOlder reports whether the device proved that it holds an older credential of the account, or one in other letter case.
func (v Verdict) HoldsOlder() bool { return v.State == Stale || v.State == WrongCase }

// InCommand is a device's name as it is typed in a command line.
func InCommand(name string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.:+-", r)
	}
	if name != "" && !strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) && name[0] != '-' {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

// Hint says in one sentence what a person can do, and is empty when rekeyd needs nobody.
func (v Verdict) Hint(name string) string {
	command := InCommand(name)
	switch v.State {
	case Current, Stale:
		return ""
	case Unasked:
		return "sign in, if you have not yet, with: rekeyd login"
	case Pending:
		return fmt.Sprintf("give %s access to the internet; it signs in as soon as it reaches its cloud", name)
	case WrongCase:
		return fmt.Sprintf("add %s again in its app, with the e-mail address spelled as it was registered, if rekeyd cannot move it", name)
	case Reverted:
		return fmt.Sprintf("see that %s is online in its app, and signed in to your account there; then run: rekeyd rekey %s", name, command)
	case Default, Blank:
		return fmt.Sprintf("add %s to your account, in its app or with: rekeyd bind %s", name, command)
	case ForeignHeld:
		return fmt.Sprintf("nothing, unless %s is yours: then remove it from the other account in its app first", name)
	case Mismatch:
		return fmt.Sprintf("if you remember an earlier password, give it with: rekeyd import; else see that no other device has taken the address of %s, and change its password in its own app, or reset it to factory settings and add it again", name)
	case ThirdPartyOff:
		return fmt.Sprintf("turn on Third-Party Compatibility in the Tapo app, then run: rekeyd rekey %s", command)
	case LockedOut:
		return fmt.Sprintf("wait until %s; rekeyd tries again by itself", v.Until.Local().Format("15:04"))
	case Unreachable:
		return fmt.Sprintf("switch %s on and see that it is in the network; rekeyd goes on by itself when it is seen", name)
	case Unsupported:
		return fmt.Sprintf("change the password of %s in its own app: rekeyd cannot do it", name)
	}
	return ""
}
