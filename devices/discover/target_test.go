package discover_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover"
	"github.com/rekeyd/rekeyd/devices/discover/discovertest"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/xor"
)

func targets(t *testing.T, list ...string) (all []discover.Target) {
	t.Helper()
	for _, text := range list {
		target, err := discover.ParseTarget(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, target)
	}
	return all
}

// A plug in another subnet answers when it is asked at its address. No broadcast reaches it, so its owner names it.
func TestTargetInAnotherSubnetIsProbed(t *testing.T) {
	for name, c := range map[string]struct {
		target string
		at     string
	}{
		"address": {"10.20.0.5", "10.20.0.5"},
		"subnet":  {"10.20.0.0/22", "10.20.3.9"},
		"name":    {"localhost", "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !nettest.InNamespace(t) {
				return
			}
			nettest.Link(t, "home0", "10.9.0.1/24")
			nettest.Address(t, "lo", "10.20.0.5/32")
			nettest.Address(t, "lo", "10.20.3.9/32")
			discovertest.Kasa(t, map[netip.Addr][]byte{netip.MustParseAddr(c.at): xor.Seal(fmt.Appendf(nil, plugReply, 1, 1))})
			w := start(t, discover.Options{
				Interfaces: discover.Interfaces{"home0"}, Pace: quickly, Targets: targets(t, c.target),
				Probes: []discover.Probe{discover.Kasa()},
			})
			w.until(t, time.Minute, "the plug at its address", func(m map[string]home.Sighting) bool {
				return m["iot-udp mac:50c7bf010201"].Addr == netip.AddrPortFrom(netip.MustParseAddr(c.at), 9999)
			})
		})
	}
}

// A router can pass mDNS on between subnets. An address outside of the own ones is a forgery, unless it is a target.
func TestReflectedAnnouncementOfATargetIsAccepted(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	lan := nettest.Link(t, "home0", "10.9.0.1/24")
	r := &discovertest.Responder{}
	r.Start(t, lan, discovertest.Many(6, netip.MustParseAddr("10.20.0.4"))...) // 10.20.0.5 to 10.20.0.10
	w := start(t, discover.Options{
		Interfaces: discover.Interfaces{"home0"}, Pace: quickly, Targets: targets(t, "10.20.0.6", "10.20.0.8/31"),
		Probes: []discover.Probe{},
	})
	w.until(t, time.Minute, "three targets, and the others counted", func(m map[string]home.Sighting) bool {
		for _, s := range m {
			if last := s.Addr.Addr().As4()[3]; last != 6 && last != 8 && last != 9 {
				t.Errorf("%s is no target", s.Addr)
			}
		}
		return len(m) == 3 && w.Counts()["mdns address outside the subnets"] > 0
	})
}

func TestTargetThatCannotBeProbedIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "fd00::1", "fd00::/64", "10.0.0.0/8", "10.20.0.0/21", "10.20.0.0/33", "224.0.0.251", "0.0.0.0", "a b", "-x",
		"x..y", "http://plug/", "10.20.0.5:9999",
	} {
		if target, err := discover.ParseTarget(text); err == nil {
			t.Errorf("%q is taken for %s", text, target)
		}
	}
	for _, text := range []string{"10.20.0.5", "10.20.0.0/22", "plug-1.lan", "extender"} {
		if target := targets(t, text)[0]; target.String() != text {
			t.Errorf("%q is shown as %s", text, target)
		}
	}
	var many []string
	for i := range 5 {
		many = append(many, fmt.Sprintf("10.%d.0.0/22", i))
	}
	if _, err := discover.New(discover.Options{Targets: targets(t, many...)}); err == nil {
		t.Error("5,120 addresses are accepted")
	}
	if _, err := discover.New(discover.Options{Targets: targets(t, many[:4]...)}); err != nil {
		t.Error(err)
	}
}

// Laws: a target that is taken is shown as one that is taken for the same, and it is no whole internet.
func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{
		"10.20.0.5", "10.20.0.9/22", "plug-1.lan.", "::ffff:10.0.0.1", "10.0.0.0/021", "1.2.3.4%x", "1.2",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		target, err := discover.ParseTarget(text)
		if err != nil {
			return
		}
		again, err := discover.ParseTarget(target.String())
		if err != nil || again != target || len(target.String()) > 254 {
			t.Errorf("%q is shown as %q, which is taken for %v, %v", text, target, again, err)
		}
		if _, err := discover.New(discover.Options{Targets: []discover.Target{target, target, target, target}}); err != nil {
			t.Errorf("%q: four of them are too many: %v", text, err)
		}
	})
}
