// Package catalog is the list of drivers: one for each protocol of the table in daemon/home. devices/README.md states
// how to add one.
package catalog

import (
	"context"
	"errors"
	"net"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/iot"
	"github.com/rekeyd/rekeyd/devices/kasacam"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/native"
	"github.com/rekeyd/rekeyd/devices/nc"
	"github.com/rekeyd/rekeyd/devices/smart"
	"github.com/rekeyd/rekeyd/devices/tapocam"
	"github.com/rekeyd/rekeyd/devices/tpap"
)

// Driver speaks one protocol, or several: it is daemon.Driver, whose comment has the promises. What a driver can do
// beyond that is found by assertion.
type Driver interface {
	Probe(context.Context, home.Device, home.Candidates) (home.Finding, error)
	Rekey(context.Context, home.Device, home.Move) error
}

// Options are the options of New.
type Options struct {
	Hub    *wire.Identity // of the hub, for native devices
	Budget keyring.Budget // of sign-ins
	Memory keyring.Memory // of refused sign-ins
	// Dial opens connections; TCP when nil.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// drivers is never changed.
var drivers = []struct {
	protocols []home.Protocol
	build     func(Options) (Driver, error)
}{
	{[]home.Protocol{home.IOT}, func(o Options) (Driver, error) { return iot.New(iot.Options{Dial: o.Dial}) }},
	{[]home.Protocol{home.KLAP1, home.IOTKLAP2}, func(o Options) (Driver, error) {
		return iot.NewKLAP(iot.Options{Dial: o.Dial})
	}},
	{[]home.Protocol{home.KLAP2}, func(o Options) (Driver, error) { return smart.New(smart.Options{Dial: o.Dial}) }},
	{[]home.Protocol{home.SmartAES}, func(o Options) (Driver, error) {
		return smart.NewAES(smart.AESOptions{Budget: o.Budget, Memory: o.Memory, Dial: o.Dial})
	}},
	{[]home.Protocol{home.TapoCam}, func(o Options) (Driver, error) {
		return tapocam.New(tapocam.Options{Budget: o.Budget, Memory: o.Memory, Dial: o.Dial})
	}},
	{[]home.Protocol{home.KasaCam}, func(o Options) (Driver, error) { return kasacam.New(kasacam.Options{Dial: o.Dial}) }},
	{[]home.Protocol{home.TPAP}, func(o Options) (Driver, error) {
		return tpap.New(tpap.Options{Budget: o.Budget, Memory: o.Memory, Dial: o.Dial})
	}},
	{[]home.Protocol{home.NC}, func(o Options) (Driver, error) {
		return nc.New(nc.Options{Budget: o.Budget, Memory: o.Memory, Dial: o.Dial})
	}},
	{[]home.Protocol{home.Native}, func(o Options) (Driver, error) {
		return native.New(native.Options{Identity: o.Hub, Dial: o.Dial})
	}},
}

// New checks o, and returns the driver of each protocol.
func New(o Options) (map[home.Protocol]Driver, error) {
	all := map[home.Protocol]Driver{}
	var errs []error
	for _, d := range drivers {
		driver, err := d.build(o)
		errs = append(errs, err)
		for _, p := range d.protocols {
			all[p] = driver
		}
	}
	return all, errors.Join(errs...)
}
