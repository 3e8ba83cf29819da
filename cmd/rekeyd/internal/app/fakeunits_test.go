package app

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// unit is one simulated device of a fakeHouse. It keeps its hardware address for life; its address and its protocol can
// change.
type unit struct {
	h        *fakeHouse
	stranger bool // it belongs to another account, or to none: it must never receive anything
	first    home.Secret

	mu   sync.Mutex // guards the fields below
	spec sim.Spec
	dev  *sim.Device
	end  func()

	received []byte // by a stranger, decrypted
}

// furnish adds the devices: of every protocol that runs in memory, two strangers, and one that was never set up.
func (h *fakeHouse) furnish() {
	for i, s := range []sim.Spec{
		{Kind: home.Plug, Protocol: home.IOT},
		{Kind: home.Bulb, Protocol: home.IOT},
		{Kind: home.Plug, Protocol: home.KLAP1},
		{Kind: home.Bulb, Protocol: home.IOTKLAP2},
		{Kind: home.Switch, Protocol: home.KLAP2},
		{Kind: home.Bulb, Protocol: home.SmartAES},
		{Kind: home.Camera, Protocol: home.TapoCam},
		{Kind: home.Camera, Protocol: home.Native},
	} {
		if s.Protocol != home.Native {
			s.Username, s.Password = ownerEmail, home.NewSecret(h.known)
		}
		h.addUnit(i+1, s, false)
	}
	h.addUnit(101, sim.Spec{
		Kind: home.Plug, Protocol: home.KLAP2, Username: "bob@example.org", Password: home.NewSecret("Bobs-own-password"),
	}, true)
	h.addUnit(102, sim.Spec{
		Kind: home.Camera, Protocol: home.TapoCam, Username: "bob@example.org", Password: home.NewSecret("Bobs-own-password"),
	}, true)
	h.addUnit(103, sim.Spec{Kind: home.Plug, Protocol: home.KLAP2}, true)
}

func (h *fakeHouse) addUnit(n int, s sim.Spec, stranger bool) {
	s.Name = fmt.Sprintf("%s-%d", s.Protocol, n)
	s.Addr = netip.AddrFrom4([4]byte{127, 53, 0, byte(n)})
	s.MAC = net.HardwareAddr{0x50, 0xc7, 0xbf, 0, 0, byte(n)}
	u := &unit{h: h, stranger: stranger, first: s.Password}
	u.install(s)
	h.units = append(h.units, u)
}

// install has the unit be what s describes from now on: after an update of its firmware, or at another address.
func (u *unit) install(s sim.Spec) {
	house, err := sim.New(sim.Options{
		Log: u.h.logger(), Dial: u.h.net.dialBroker,
		Listen: func(at netip.AddrPort) (net.Listener, error) { return u.h.net.listen(at.String()) },
	}, []sim.Spec{s})
	u.h.must(err)
	end := u.h.run(func(ctx context.Context) error { return house.Run(ctx) }, func() {})
	u.mu.Lock()
	defer u.mu.Unlock()
	u.spec, u.dev, u.end = s, house.Devices()[0], end
	if u.stranger {
		u.dev.Opened(func(request []byte) {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.received = append(u.received, request...)
		})
	}
}

// replace installs a changed spec. The unit keeps the password that it holds.
func (u *unit) replace(change func(*sim.Spec)) {
	s := u.spec
	s.Username, s.Password = "", home.Secret{}
	if p := u.holding(); p != "" {
		s.Username, s.Password = ownerEmail, home.NewSecret(p)
	}
	change(&s)
	_, locks := u.dev.SignIns()
	u.h.locks += locks
	u.stop()
	u.install(s)
}

func (u *unit) stop() { u.end() }

// holding returns which password of the account the unit holds; empty for none.
func (u *unit) holding() string {
	for _, p := range u.h.passwords {
		if u.dev.Holds(ownerEmail, home.NewSecret(p)) {
			return p
		}
	}
	return ""
}

// current reports whether the unit really holds the newest credential of the account, at an epoch.
func (u *unit) current(e home.Epoch) bool {
	if u.spec.Protocol == home.Native {
		held, signedIn := u.dev.Epochs()
		return held == e && signedIn == e
	}
	return u.holding() == u.h.known
}

// sighting returns how discovery sees the unit; ok is false while it is off.
func (u *unit) sighting() (s home.Sighting, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.dev.On() {
		return s, false
	}
	return home.Sighting{
		Source: "test", Protocol: u.spec.Protocol, Keys: []string{strings.Replace(string(u.dev.ID()), "-", ":", 1)},
		Name: u.spec.Name, Kind: u.spec.Kind, Addr: u.dev.Addr(), At: time.Now(),
	}, true
}

// leaked returns the password of the account that a stranger received; empty for none.
func (u *unit) leaked() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, p := range u.h.passwords {
		if bytes.Contains(u.received, []byte(p)) {
			return p
		}
	}
	return ""
}

// powerOn switches the unit on, whatever has become of it meanwhile.
func (u *unit) powerOn() { u.h.must(u.dev.PowerOn()) }

func addr(a [4]byte) netip.Addr { return netip.AddrFrom4(a) }
