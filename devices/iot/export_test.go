package iot

import (
	"context"
	"net"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Introduce tells who is at the address of dev.
func Introduce(ctx context.Context, d *Driver, dev home.Device) ([]string, home.Kind) {
	t := d.talk(dev)
	defer t.close()
	s, err := t.ask(ctx)
	if err != nil {
		return nil, home.Other
	}
	return s.keys, s.kind
}

// Answered reads the answer to a probe as Probe does, and returns whose the device says it is.
func Answered(raw []byte, d home.Device, email string) (home.Match, home.Device, bool) {
	s, err := parseStatement(raw)
	if err != nil {
		return home.Unknown, d, false
	}
	return s.whose(email), s.describe(d), s.is(d)
}

// Dial has d speak over the connections that f makes.
func Dial(d *Driver, f func() net.Conn) {
	d.dial = func(context.Context, string, string) (net.Conn, error) { return f(), nil }
}
