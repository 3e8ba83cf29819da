package drivertest

import (
	"context"
	"errors"
	"fmt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// reporting has the promises of a driver that only reports. It is never changed.
var reporting = []check{
	{"a device of the account is found, and reported", reported},
	{"another account's device is not taken for one of the account", others},
	{"a rekey is refused, with what the owner can do, and changes nothing", refused},
	{"what is sent to a device that may receive nothing has no secret in it", withoutTerms},
	{"a device that is off is unreachable, and no error", dark},
	{"another device at the address is not believed and not touched", impostor},
	{"nothing happens once the context has ended", ended},
	{"a device that answers nothing is given up when the context ends", mute},
	{"nonsense is not believed, and given up when the context ends", nonsense},
}

// ours is the match of a device of the account.
func (b *bench) ours() home.Match {
	if b.silent {
		return home.Unknown
	}
	return home.Ours
}

func reported(b *bench) error { return b.found(0, b.ours(), b.reports) }

func others(b *bench) error {
	b.devices[0].Hold(home.ForeignHeld)
	if b.silent {
		return b.found(0, home.Unknown, b.reports)
	}
	return b.found(0, home.Foreign, home.ForeignHeld)
}

func refused(b *bench) error {
	err := b.rekey(0)
	if !errors.Is(err, home.ErrRefused) || home.HintOf(err) == "" {
		return fmt.Errorf("got %w, want with a hint: %w", cause(err), home.ErrRefused)
	}
	return b.hold(0, home.Stale)
}

// A device without power, or without an address, is unreachable also for a driver that only reports.
func dark(b *bench) error {
	b.devices[0].PowerOff()
	f, err := b.probe(0)
	if err != nil || f.Verdict.State != home.Unreachable {
		return fmt.Errorf("found %s, %w; want %s and no error", f.Verdict.State, cause(err), home.Unreachable)
	}
	d := home.Device{ID: b.devices[0].Seen().ID, Protocol: b.devices[0].Seen().Protocol, Keys: b.devices[0].Seen().Keys}
	f, err = b.Probe(context.Background(), d, b.c)
	if err != nil || f.Verdict.State != home.Unreachable {
		return fmt.Errorf("never seen: found %s, %w; want %s and no error", f.Verdict.State, cause(err), home.Unreachable)
	}
	return b.devices[0].PowerOn()
}
