package app

import (
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/catalog"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/tpap"
)

// signIns is what the store keeps for drivers: a count of sign-ins, and which were refused.
type signIns interface {
	keyring.Budget
	tpap.Memory
}

// drivers returns the driver of each protocol.
func drivers(hub *wire.Identity, kept signIns) (map[home.Protocol]daemon.Driver, error) {
	listed, err := catalog.New(catalog.Options{Hub: hub, Budget: kept, Memory: kept})
	all := map[home.Protocol]daemon.Driver{}
	for p, d := range listed {
		all[p] = d
	}
	return all, err
}
