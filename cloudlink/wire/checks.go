package wire

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// What is checked of a body's form, before it is signed and after it is read. Lengths of keys, seals and proofs are not: those that
// are wrong verify nothing and open nothing.

var errName = errors.New("a name is missing or malformed")

func (b *Enrolled) check() error { return first(names(b.Account), text(b.Email), b.Notice.check()) }
func (b *Ask) check() error      { return names(b.Account) }
func (b *Grant) check() error    { return b.Notice.check() }
func (b *Ack) check() error      { return names(b.Account) }
func (b *Unbind) check() error   { return first(names(b.Account), list(b.Devices, itself)) }
func (b *Begin) check() error {
	return first(names(b.Account), list(b.Devices, func(n Nonce) string { return n.ID }))
}

func (b *Challenge) check() error {
	return first(names(b.Account), list(b.Devices, func(c Challenged) string { return c.ID }), outcomes(b.Refused))
}

func (b *Proof) check() error {
	return first(names(b.Account), list(b.Devices, func(p Proven) string { return p.ID }))
}

func (b *Session) check() error {
	return first(names(b.Account), list(b.Devices, itself), outcomes(b.Refused))
}
func (b *Confirm) check() error { return first(names(b.Account), list(b.Devices, itself)) }
func (b *Receipt) check() error {
	return first(names(b.Account), b.Notice.check(), outcomes(b.Refused))
}
func (b *Refusal) check() error { return text(b.Code, b.Detail) }
func (b *Join) check() error    { return nil }
func (b *Passed) check() error  { return b.Notice.check() }
func (b *Done) check() error    { return text(b.Code) }
func (b *Relay) check() error   { return names(b.Account, b.Device) }
func (b *Relayed) check() error { return first(names(b.Account, b.Device), text(b.Code)) }
func (b *Bind) check() error {
	if err := first(names(b.Account), list(b.Devices, func(d Device) string { return d.ID })); err != nil {
		return err
	}
	for _, d := range b.Devices {
		if err := text(d.Kind, d.Protocol, d.Model, d.Name, d.MAC); err != nil {
			return err
		}
	}
	return nil
}

func (b *Enrol) check() error {
	if b.Pairing != "" && !ValidName(b.Pairing) {
		return errName
	}
	return text(b.Name, b.Version)
}

func (b *Probe) check() error {
	if len(b.Nonce) != nonceSize {
		return fmt.Errorf("nonce of %d bytes, want %d", len(b.Nonce), nonceSize)
	}
	return nil
}

func (b *Statement) check() error {
	if b.Account != "" && !ValidName(b.Account) {
		return errName
	}
	return text(b.Kind, b.Model, b.Name)
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func names(ss ...string) error {
	for _, s := range ss {
		if !ValidName(s) {
			return errName
		}
	}
	return nil
}

// list checks that there are not too many devices, each named well and named once.
func list[T any](ds []T, name func(T) string) error {
	if len(ds) > MaxDevices {
		return fmt.Errorf("%d devices, at most %d", len(ds), MaxDevices)
	}
	seen := make(map[string]bool, len(ds))
	for _, d := range ds {
		n := name(d)
		if !ValidName(n) || seen[n] {
			return errName
		}
		seen[n] = true
	}
	return nil
}

func itself(s string) string { return s }

func outcomes(os []Outcome) error {
	for _, o := range os {
		if err := text(o.Code); err != nil {
			return err
		}
	}
	return list(os, func(o Outcome) string { return o.ID })
}

// text checks what people will read: short, valid UTF-8, no control characters.
func text(ss ...string) error {
	for _, s := range ss {
		if len(s) > 256 || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
			return errors.New("a text is too long or malformed")
		}
	}
	return nil
}
