package nc_test

import (
	"net"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/drivertest"
	"github.com/rekeyd/rekeyd/devices/nc"
	"github.com/rekeyd/rekeyd/devices/sim"
)

const anna = "anna@example.org"

var (
	oldPair  = home.Credential{Epoch: 4, Username: anna, Password: home.NewSecret("old-password")}
	newPair  = home.Credential{Epoch: 5, Username: anna, Password: home.NewSecret("new-password")}
	webPages = home.NewSecret("of its web page")
)

// candidates are those of an owner who gave the camera's own password, allowed it to be sent, and has signed the hub in
// at the vendor's cloud with the newest password of the account.
func candidates() home.Candidates {
	return home.Candidates{
		Account:     home.Account{ID: "a", Provider: home.TPLink, Email: anna, Epoch: newPair.Epoch},
		Credentials: []home.Credential{newPair, oldPair}, Recorded: oldPair.Epoch,
		Terms: home.Terms{Bound: true, Cleartext: true}, DevicePassword: webPages, Accepted: true,
	}
}

func move() home.Move {
	c := candidates()
	return home.Move{
		Account: c.Account, From: oldPair, To: newPair, Known: c.Credentials, Terms: c.Terms,
		DevicePassword: c.DevicePassword, Accepted: c.Accepted,
	}
}

func driver(t *testing.T, d *drivertest.Disk) *nc.Driver {
	t.Helper()
	driver, err := nc.New(nc.Options{Budget: d, Memory: d, Timeout: 30 * time.Second, BindTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

// unit is a simulated camera under its hardware address.
type unit struct{ drivertest.Simulated }

func (u unit) Seen() home.Device {
	d := u.Simulated.Seen()
	mac := u.Device.MAC()
	d.ID, d.Keys = home.DeviceID("mac-"+mac), []string{"mac:" + mac}
	return d
}

func TestDriverKeepsThePromisesOfEveryDriver(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for _, model := range []string{"NC220", "NC450"} {
		t.Run(model, func(t *testing.T) {
			drivertest.Run(t, drivertest.Subject{
				Candidates: candidates,
				New: func(t *testing.T, n int) (drivertest.Driver, []drivertest.Device) {
					var specs []sim.Spec
					for i := range n {
						specs = append(specs, sim.Spec{
							Kind: home.Camera, Protocol: home.NC, Model: model, Username: anna, Password: oldPair.Password,
							DevicePassword: webPages, Defects: []sim.Defect{sim.Refused},
							MAC: net.HardwareAddr{0x18, 0xa6, 0xf7, 0, 0, byte(i + 1)},
						})
					}
					var all []drivertest.Device
					for _, d := range drivertest.Play(t, nil, specs...) {
						all = append(all, unit{drivertest.Simulated{Device: d, Old: oldPair, New: newPair}})
					}
					return driver(t, drivertest.NewDisk()), all
				},
			})
		})
	}
}
