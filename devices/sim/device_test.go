package sim_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
)

func TestPowerMakesTheDeviceSilentAndSignInAgain(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	c := &cloud{password: "old"}
	d := live(t, sim.Options{Cloud: c}, sim.Spec{
		Kind: home.Plug, Protocol: home.IOT, Username: "a@b.c", Password: home.NewSecret("old"),
	}).Devices()[0]
	connected := func() bool { return strings.Contains(ask(t, d, `{"cnCloud":{"get_info":{}}}`), `"cld_connection":1`) }
	eventually(t, "it signs in at start", connected)
	d.PowerOff()
	if conn, err := net.Dial("tcp", d.Addr().String()); err == nil {
		conn.Close()
		t.Error("it answers while it is off")
	}
	c.set(func(c *cloud) { c.password = "new" })
	for range 2 {
		if err := d.PowerOn(); err != nil {
			t.Fatal(err)
		}
	}
	if connected() || !d.Holds("a@b.c", home.NewSecret("old")) {
		t.Error("it is connected with a password that is no more")
	}
	d.Hold("a@b.c", home.NewSecret("new"))
	eventually(t, "it signs in with what its app gave it", connected)
	d.EndSession()
	eventually(t, "it signs in again when its session ends", connected)
	c.set(func(c *cloud) { c.password = "newer" })
	d.EndSession()
	if connected() {
		t.Error("it is connected again with a password that is no more")
	}
}

func TestAddressesOfOthersArePassedOver(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for _, addr := range []string{"127.53.0.1:9999", "127.53.0.3:9999"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	plug := sim.Spec{Kind: home.Plug, Protocol: home.IOT}
	fixed := plug
	fixed.Addr = netip.MustParseAddr("127.53.0.4")
	var got []string
	for _, d := range live(t, sim.Options{}, plug, fixed, plug).Devices() {
		got = append(got, d.Addr().Addr().String())
	}
	if want := "127.53.0.2 127.53.0.4 127.53.0.5"; strings.Join(got, " ") != want {
		t.Errorf("at %s, want %s", got, want)
	}
}

func TestTakenAddressIsAnErrorWithAHint(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	plug := sim.Spec{Kind: home.Plug, Protocol: home.IOT}
	fails := func(s sim.Spec, want string) {
		t.Helper()
		_, err := sim.New(sim.Options{Log: slog.New(slog.DiscardHandler)}, []sim.Spec{s})
		if err == nil || !strings.Contains(err.Error(), want) || home.HintOf(err) == "" {
			t.Errorf("got %v, hint %q", err, home.HintOf(err))
		}
	}
	l, err := net.Listen("tcp", "127.53.0.1:9999")
	if err != nil {
		t.Fatal(err)
	}
	chosen := plug
	chosen.Addr = netip.MustParseAddr("127.53.0.1")
	fails(chosen, "127.53.0.1:9999")
	l.Close()
	everywhere, err := net.Listen("tcp4", "0.0.0.0:9999")
	if err != nil {
		t.Fatal(err)
	}
	defer everywhere.Close()
	fails(plug, ":9999: address and port are taken")
}

func TestNativeDeviceKeepsItsNameOverAPowerCut(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	d := live(t, sim.Options{}, sim.Spec{Kind: home.Camera, Protocol: home.Native}).Devices()[0]
	id := d.ID()
	answers := func() bool {
		c, err := net.Dial("tcp", d.Addr().String())
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	for range 3 {
		if !answers() {
			t.Error("a device that is on does not answer")
		}
		d.PowerOff()
		if answers() {
			t.Error("a device that is off answers")
		}
		if err := d.PowerOn(); err != nil {
			t.Fatal(err)
		}
	}
	if d.ID() != id || !strings.HasPrefix(string(id), "rk-") {
		t.Errorf("named %s, then %s", id, d.ID())
	}
}

func TestLineHasAllThatAnotherProgramNeeds(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	h, err := sim.New(
		sim.Options{Log: slog.New(slog.DiscardHandler)},
		[]sim.Spec{{Kind: home.Bulb, Protocol: home.IOT, Username: "a@b.c", Password: home.NewSecret("x")}},
	)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(h.Close(), h.Close()); err != nil {
			t.Error(err)
		}
	}()
	want := `{"id":"mac-50c7bf350001","kind":"bulb","protocol":"iot","addr":"127.53.0.1","port":9999,` +
		`"username":"a@b.c","password":"x"}`
	if got := string(h.Devices()[0].Line()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if s := fmt.Sprintf("%+v", h.Devices()[0].Password()); s != "[redacted]" {
		t.Errorf("printed %s", s)
	}
}
