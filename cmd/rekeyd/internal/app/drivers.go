package app

import (
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/catalog"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

// drivers returns the driver of each protocol.
func drivers(hub *wire.Identity, budget keyring.Budget) (map[home.Protocol]daemon.Driver, error) {
	listed, err := catalog.New(catalog.Options{Hub: hub, Budget: budget})
	all := map[home.Protocol]daemon.Driver{}
	for p, d := range listed {
		all[p] = d
	}
	return all, err
}
