package tpap

import (
	"encoding/json"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

// Floor and Hidden are the bounds that tests name.
const (
	Floor  = floor
	Hidden = hidden
)

// Hide puts a request where an answer does not cover it.
var Hide = hide

// UserName is the name of every device in a form.
var UserName = userName

// Parsers are all that read what devices send, by the step. Each returns its error.
var Parsers = map[string]func([]byte) error{
	"discover": func(raw []byte) error { _, err := parseAbout(raw); return err },
	"register": func(raw []byte) error { _, err := parseRegistered(raw); return err },
	"share":    func(raw []byte) error { _, err := parseShared(raw); return err },
	"form":     func(raw []byte) error { _, err := parseForm(raw, true); return err },
	"answer":   func(raw []byte) error { _, _, err := parseAnswer(raw, true); return err },
	"plug":     func(raw []byte) error { _, err := parsePlug(raw); return err },
	"camera":   func(raw []byte) error { _, err := parseCamera(raw); return err },
	"key":      func(raw []byte) error { _, err := keyring.CameraKey(raw, true); return err },
}

// CredentialOf returns the text that a device with this extra_crypt stretches.
func CredentialOf(extra string, camera bool, username, password string) (string, error) {
	f, err := parseForm(json.RawMessage(extra), camera)
	if err != nil {
		return "", err
	}
	c, err := f.credential(keyring.Key{Username: username, Password: home.NewSecret(password)})
	return c.Reveal(), err
}

// Chosen returns the password that would be tried, of a plug that stores what kept names, or something else since.
func Chosen(kept home.SignIns, anew bool, passwords []string, now time.Time) (string, error) {
	var keys []keyring.Key
	for _, p := range passwords {
		keys = append(keys, keyring.Key{Username: "u", Password: home.NewSecret(p)})
	}
	c, err := history{kept, form{}, anew}.choose(keys, now)
	return c.Password.Reveal(), err
}

// ShareOf reads the answer to pake_share.
func ShareOf(raw []byte) (stok string, seq uint32, err error) {
	s, err := parseShared(raw)
	return s.stok, s.seq, err
}
