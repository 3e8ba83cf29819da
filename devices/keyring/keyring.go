// Package keyring says which credentials a device may hold, and what it means that it holds one. Drivers whose protocol lets a client
// check them all against one reply of the device do so: that spends no login (devices/PROTOCOLS.md, section 2.3).
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
	Verdict  home.Verdict // what it means if the device holds it
}

// The credentials with which devices of the family leave the factory (devices/PROTOCOLS.md, section 7.3).
var (
	kasa = [2]string{"kasa@tp-link.net", "kasaSetup"}
	tapo = [2]string{"test@tp-link.net", "test"}
)

// Of returns every key that is worth trying on a device that takes an e-mail address and a password: the account's of every epoch, the
// newest first; the same with the address in lower case, where that is another; the factory's; none.
func Of(c home.Candidates) []Key {
	ks := account(c.Account, c.Credentials)
	for _, d := range [...][2]string{kasa, tapo} {
		ks = append(ks, Key{d[0], home.NewSecret(d[1]), home.Verdict{State: home.Default}})
	}
	return append(ks, Key{Verdict: home.Verdict{State: home.Blank}})
}

// Opening returns the keys by which a device may be entered that is to be moved: what it holds as far as is known, then what it is to
// hold, for it may have been moved already; and all there are where it is unknown what it holds.
func Opening(m home.Move) []Key {
	if m.From.Epoch != 0 {
		return account(m.Account, []home.Credential{m.From, m.To})
	}
	return Of(home.Candidates{Account: m.Account, Credentials: known(m)})
}

// known are all credentials of a move.
func known(m home.Move) []home.Credential {
	if len(m.Known) > 0 {
		return m.Known
	}
	return []home.Credential{m.To}
}

// account are the keys of an account's epochs, and of the earlier passwords that its owner remembers.
func account(a home.Account, cs []home.Credential) []Key {
	var exact, lower []Key
	for _, c := range cs {
		if c.Password.IsZero() {
			continue // the hub was never told it
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

// Passwords returns every key that is worth trying on a camera, whose username is always admin: the account's passwords, the newest first,
// each once; then the factory's (devices/PROTOCOLS.md, section 7.3).
func Passwords(c home.Candidates) []Key {
	const username = "admin"
	var ks []Key
	for _, cr := range c.Credentials {
		if cr.Password.IsZero() {
			continue
		}
		if slices.ContainsFunc(ks, func(k Key) bool { return k.Password.Equal(cr.Password) }) {
			continue
		}
		ks = append(ks, Key{username, cr.Password, home.Verdict{State: home.Stale, Epoch: cr.Epoch}.Against(c.Account.Epoch)})
	}
	for _, pw := range [...]string{"admin", "TPL075526460603"} {
		ks = append(ks, Key{username, home.NewSecret(pw), home.Verdict{State: home.Default}})
	}
	return ks
}

// EnteringCamera is Opening for cameras.
func EnteringCamera(m home.Move) []Key {
	if m.From.Epoch == 0 {
		return Passwords(home.Candidates{Account: m.Account, Credentials: known(m)})
	}
	ks := Passwords(home.Candidates{Account: m.Account, Credentials: []home.Credential{m.From, m.To}})
	return slices.DeleteFunc(ks, func(k Key) bool { return k.Verdict.State == home.Default })
}

// Budget is what keeps devices from locking their owner out. A driver asks it before each login of which the device, and nobody else,
// can say whether it is right. It counts on disk, before the login is sent: a restart does not forget.
type Budget interface {
	// Spend counts one login; home.ErrBudget when the device has had enough for now, or is locked: then none may be sent.
	Spend(home.DeviceID) error
	// Good gives the last one back: the device has taken it.
	Good(home.DeviceID) error
}
