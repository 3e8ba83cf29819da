package app

import (
	"errors"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/iot"
	"github.com/rekeyd/rekeyd/devices/kasacam"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/native"
	"github.com/rekeyd/rekeyd/devices/smart"
	"github.com/rekeyd/rekeyd/devices/tapocam"
	"github.com/rekeyd/rekeyd/devices/tpap"
)

// drivers returns the driver of each protocol.
func drivers(hub *wire.Identity, budget keyring.Budget) (map[home.Protocol]daemon.Driver, error) {
	all := map[home.Protocol]daemon.Driver{}
	var errs []error
	add := func(p home.Protocol, d daemon.Driver, err error) {
		all[p] = d
		errs = append(errs, err)
	}
	n, err := native.New(native.Options{Identity: hub})
	add(home.Native, n, err)
	i, err := iot.New(iot.Options{})
	add(home.IOT, i, err)
	ik, err := iot.NewKLAP(iot.Options{})
	add(home.KLAP1, ik, err)
	add(home.IOTKLAP2, ik, err)
	s, err := smart.New(smart.Options{})
	add(home.KLAP2, s, err)
	a, err := smart.NewAES(smart.AESOptions{Budget: budget})
	add(home.SmartAES, a, err)
	t, err := tapocam.New(tapocam.Options{Budget: budget})
	add(home.TapoCam, t, err)
	k, err := kasacam.New(kasacam.Options{})
	add(home.KasaCam, k, err)
	p, err := tpap.New(tpap.Options{})
	add(home.TPAP, p, err)
	return all, errors.Join(errs...)
}
