package iot_test

import (
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/drivertest"
	"github.com/rekeyd/rekeyd/devices/iot"
	"github.com/rekeyd/rekeyd/devices/sim"
)

func TestDriverKeepsThePromisesOfEveryDriver(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	drivertest.Run(t, drivertest.Subject{
		Candidates: func() home.Candidates { return both },
		New: func(t *testing.T, n int) (drivertest.Driver, []drivertest.Device) {
			specs, err := sim.ParseCount("bulb:iot=1,switch:iot=1,plug:iot=1")
			if err != nil {
				t.Fatal(err)
			}
			d := driver(t, iot.Options{Timeout: 10 * time.Second})
			var all []drivertest.Device
			for _, s := range play(t, nil, specs[:n]...) {
				probe(t, d, seen(s), both) // it answers
				all = append(all, drivertest.Simulated{Device: s, Old: oldPair, New: newPair})
			}
			return d, all
		},
	})
}
