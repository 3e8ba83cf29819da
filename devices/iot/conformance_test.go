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

// subject is a simulated device as drivertest wants it.
type subject struct{ *sim.Device }

func (s subject) Seen() home.Device { return seen(s.Device) }

func (s subject) Hold(state home.State) {
	switch state {
	case home.Blank:
		s.Device.Hold("", home.Secret{})
	case home.Stale:
		s.Device.Hold(email, oldPair.Password)
	case home.ForeignHeld:
		s.Device.Hold("bob@example.org", home.NewSecret("bobs"))
	}
}

func (s subject) Holds() home.State {
	switch {
	case s.Username() == "":
		return home.Blank
	case s.Device.Holds(email, oldPair.Password):
		return home.Stale
	case s.Device.Holds(email, newPair.Password):
		return home.Current
	case s.Device.Holds("bob@example.org", home.NewSecret("bobs")):
		return home.ForeignHeld
	}
	return home.Mismatch
}

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
				all = append(all, subject{s})
			}
			return d, all
		},
	})
}
