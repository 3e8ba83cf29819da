package main

import (
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/iot"
	"github.com/rekeyd/rekeyd/devices/kasacam"
	"github.com/rekeyd/rekeyd/devices/native"
	"github.com/rekeyd/rekeyd/devices/tpap"
)

// drivers is the list of all drivers: one a protocol.
func drivers(hub *wire.Identity) (map[home.Protocol]daemon.Driver, error) {
	n, err := native.New(native.Options{Identity: hub})
	if err != nil {
		return nil, err
	}
	i, err := iot.New(iot.Options{})
	if err != nil {
		return nil, err
	}
	k, err := kasacam.New(kasacam.Options{})
	if err != nil {
		return nil, err
	}
	t, err := tpap.New(tpap.Options{})
	if err != nil {
		return nil, err
	}
	return map[home.Protocol]daemon.Driver{home.Native: n, home.IOT: i, home.KasaCam: k, home.TPAP: t}, nil
}
