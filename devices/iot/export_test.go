package iot

import (
	"context"
	"net"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// IdentityAt returns keys and kind of whichever device answers at the address of dev.
func IdentityAt(ctx context.Context, d *Driver, dev home.Device) ([]string, home.Kind) {
	c := d.connect(dev)
	defer c.close()
	raw, err := c.exchange(ctx, []byte(identityRequest), d.o.Timeout)
	if err != nil {
		return nil, home.Other
	}
	id, err := parseIdentity(raw)
	if err != nil {
		return nil, home.Other
	}
	return id.Keys, id.Kind
}

// ReadAnswer reads the answer to a probe as Probe does: the owner that the device states, the device, and whether it is
// d.
func ReadAnswer(raw []byte, d home.Device, email string) (home.Match, home.Device, bool) {
	id, err := parseIdentity(raw)
	if err != nil {
		return home.Unknown, d, false
	}
	return id.owner(email), id.Describe(d), id.Names(d)
}

// Dial has d use the connections that f makes.
func Dial(d *Driver, f func() net.Conn) {
	d.dial = func(context.Context, string, string) (net.Conn, error) { return f(), nil }
}
