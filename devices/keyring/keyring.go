// Package keyring lists the credentials that a device may hold, derives the verdict from the one that it holds, and
// releases passwords to devices. A driver whose protocol proves what a device holds compares the whole list with one
// answer of the device: this spends no sign-in (devices/PROTOCOLS.md, section 2.3).
package keyring

import (
	"slices"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Key is a credential that a device may hold.
type Key struct {
	Username string
	Password home.Secret
	Verdict  home.Verdict // of a device that holds it
}

// The factory credentials of the vendor's devices (devices/PROTOCOLS.md, section 7.3).
var (
	kasa = [2]string{"kasa@tp-link.net", "kasaSetup"}
	tapo = [2]string{"test@tp-link.net", "test"}
)

// Candidates returns every key of a device that takes an e-mail address and a password: the account's of every epoch,
// the newest first; the same with the address in lower case, where that differs; the factory's; none.
func Candidates(c home.Candidates) []Key {
	keys := accountKeys(c.Account, c.Credentials)
	for _, d := range [...][2]string{kasa, tapo} {
		keys = append(keys, Key{d[0], home.NewSecret(d[1]), home.Verdict{State: home.Default}})
	}
	return append(keys, Key{Verdict: home.Verdict{State: home.Blank}})
}

// ForMove returns the keys of a device that is to be moved: those of From and To where From is known, since the device
// may have been moved already; else all of Candidates.
func ForMove(m home.Move) []Key {
	if m.From.Epoch != 0 {
		return accountKeys(m.Account, []home.Credential{m.From, m.To})
	}
	return Candidates(home.Candidates{Account: m.Account, Credentials: knownTo(m)})
}

// knownTo returns all credentials of a move.
func knownTo(m home.Move) []home.Credential {
	if len(m.Known) > 0 {
		return m.Known
	}
	return []home.Credential{m.To}
}

// accountKeys returns the keys of an account's epochs and of the earlier passwords that its owner remembers.
func accountKeys(a home.Account, cs []home.Credential) []Key {
	var exact, lower []Key
	for _, c := range cs {
		if c.Password.IsZero() {
			continue // the hub does not know it
		}
		v := home.Verdict{State: home.Stale, Epoch: c.Epoch}.Against(a.Epoch)
		if c.Username != a.Email && strings.EqualFold(c.Username, a.Email) {
			v.State = home.WrongCase
		}
		exact = append(exact, Key{c.Username, c.Password, v})
		if low := strings.ToLower(c.Username); low != c.Username {
			lower = append(lower, Key{low, c.Password, home.Verdict{State: home.WrongCase, Epoch: c.Epoch}})
		}
	}
	return append(exact, lower...)
}

// CameraUser is the user name of every Tapo camera.
const CameraUser = "admin"

// CameraCandidates returns every key of a camera: the account's passwords, the newest first, each once; then the
// factory's (devices/PROTOCOLS.md, section 7.3).
func CameraCandidates(c home.Candidates) []Key {
	var keys []Key
	for _, cr := range c.Credentials {
		known := func(k Key) bool { return k.Password.Equal(cr.Password) }
		if cr.Password.IsZero() || slices.ContainsFunc(keys, known) {
			continue
		}
		v := home.Verdict{State: home.Stale, Epoch: cr.Epoch}.Against(c.Account.Epoch)
		keys = append(keys, Key{CameraUser, cr.Password, v})
	}
	for _, pw := range [...]string{"admin", "TPL075526460603"} {
		keys = append(keys, Key{CameraUser, home.NewSecret(pw), home.Verdict{State: home.Default}})
	}
	return keys
}

// CameraForMove is ForMove for cameras.
func CameraForMove(m home.Move) []Key {
	if m.From.Epoch == 0 {
		return CameraCandidates(home.Candidates{Account: m.Account, Credentials: knownTo(m)})
	}
	keys := CameraCandidates(home.Candidates{Account: m.Account, Credentials: []home.Credential{m.From, m.To}})
	return slices.DeleteFunc(keys, func(k Key) bool { return k.Verdict.State == home.Default })
}

// Budget limits the sign-ins that a device may receive, so that it does not lock its owner out. A driver asks it before
// each sign-in that only the device can judge. It counts on disk, before the sign-in is sent: a
// restart does not forget.
type Budget interface {
	// Spend counts one sign-in. It returns home.ErrBudget when the device has had enough for now, or is locked: then none
	// may be sent.
	Spend(home.DeviceID) error
	// Good gives the last one back: the device has accepted it.
	Good(home.DeviceID) error
	// Refused records that the device has refused the last one. One that is neither accepted nor refused may be given back.
	Refused(home.DeviceID) error
}
