package devices_test

import (
	"fmt"
	"math/rand"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices"
)

var t0 = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }

// mdns is a sighting of an announcement, udp one of an answer to the Kasa probe.
func mdns(second int, addr string, keys ...string) home.Sighting {
	return home.Sighting{
		Source: "mdns",
		Keys:   keys,
		Kind:   home.Other,
		Match:  home.Unknown,
		Addr:   netip.MustParseAddrPort(addr),
		At:     at(second),
	}
}

func udp(second int, addr string, kind home.Kind, keys ...string) home.Sighting {
	return home.Sighting{
		Source: "iot-udp", Protocol: home.IOT, Keys: keys, Kind: kind, Match: home.Unknown,
		Addr: netip.MustParseAddrPort(addr), At: at(second),
	}
}

func native(second int, addr string, keys ...string) home.Sighting {
	s := mdns(second, addr, keys...)
	s.Protocol = home.Native
	return s
}

func gone(s home.Sighting, second int) home.Sighting {
	s.Gone, s.At = true, at(second)
	return s
}

func ids(list []home.Device) []home.DeviceID {
	var out []home.DeviceID
	for _, d := range list {
		out = append(out, d.ID)
	}
	return out
}

func TestNamesADeviceByItsStrongestKey(t *testing.T) {
	for _, c := range []struct {
		keys []string
		want home.DeviceID
	}{
		{[]string{"mdns:a._x._tcp", "rk:abc"}, "rk-abc"},
		{[]string{"rk:rk-abc", "mac:50c7bf010203"}, "rk-abc"},
		{[]string{"iot:8006AB", "mac:50c7bf010203"}, "mac-50c7bf010203"},
		{[]string{"mdns:a._x._tcp", "iot:8006AB"}, "iot-8006ab"},
		{[]string{"hap:aa:bb:cc:dd:ee:ff", "mdns:a._hap._tcp"}, "hap-aabbccddeeff"},
	} {
		r := devices.NewRoster()
		got := r.See([]home.Sighting{mdns(0, "10.0.0.1:80", c.keys...)})
		if len(got) != 1 || got[0].ID != c.want {
			t.Errorf("%v: %v, want %s", c.keys, ids(got), c.want)
		}
	}
	for _, k := range []string{"mdns:Küche._hap._tcp", "matter:AB-CD", "rk:../x", "mac:", "x:y"} {
		for _, d := range devices.NewRoster().See([]home.Sighting{mdns(0, "10.0.0.1:80", k)}) {
			if strings.Trim(string(d.ID), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
				t.Errorf("%s: %s has more than [a-z0-9-]", k, d.ID)
			}
		}
	}
}

func TestOlderNamesStillResolve(t *testing.T) {
	r := devices.NewRoster()
	first := r.See([]home.Sighting{mdns(0, "10.0.0.1:80", "mdns:x._shelly._tcp")})
	again := r.See([]home.Sighting{mdns(1, "10.0.0.1:80", "mac:50c7bf010203", "mdns:x._shelly._tcp")})
	if len(first) != 1 || len(again) != 1 || again[0].ID != "mac-50c7bf010203" || first[0].ID == again[0].ID {
		t.Fatalf("%v, then %v", ids(first), ids(again))
	}
	for _, id := range []home.DeviceID{first[0].ID, again[0].ID} {
		if d, ok := r.Device(id); !ok || d.ID != "mac-50c7bf010203" {
			t.Errorf("Device(%s) = %v, %v", id, d.ID, ok)
		}
	}
	if n := len(r.Devices()); n != 1 {
		t.Errorf("%d devices, want 1", n)
	}
}

func TestSeenTwiceIsOneDevice(t *testing.T) {
	v6 := mdns(2, "[fd00::5]:80", "hap:aabbccddeeff", "mdns:plug._hap._tcp")
	both := mdns(3, "10.0.0.5:80", "hap:aabbccddeeff", "mdns:plug._hap._tcp")
	both.Addrs = []netip.Addr{
		netip.MustParseAddr("10.0.0.5"),
		netip.MustParseAddr("fd00::5"),
		netip.MustParseAddr("10.1.0.5"),
	}
	probed := udp(1, "10.0.0.5:9999", home.Plug, "mac:50c7bf010203", "iot:8006AB")
	r := devices.NewRoster()
	r.See([]home.Sighting{probed})
	r.See([]home.Sighting{v6})
	changed := r.See([]home.Sighting{both})
	list := r.Devices()
	if len(list) != 1 || len(changed) != 1 {
		t.Fatalf("%v, changed %v; want one device by UDP and mDNS, IPv4 and IPv6, two interfaces", ids(list), ids(changed))
	}
	d := list[0]
	if d.ID != "mac-50c7bf010203" || d.Protocol != home.IOT || d.Addr.String() != "10.0.0.5:9999" || d.Kind != home.Plug ||
		len(d.Keys) != 4 {
		t.Errorf("%+v", d)
	}
	if x, ok := r.Device("hap-aabbccddeeff"); !ok || x.ID != d.ID {
		t.Errorf("by its other name: %v, %v", x.ID, ok)
	}
}

func TestSharedAddressJoinsOnlyOneOfEach(t *testing.T) {
	probed := udp(0, "10.0.0.5:9999", home.Plug, "mac:50c7bf010203")
	for _, c := range []struct {
		name string
		with []home.Sighting
		want int
	}{
		{"one announced", []home.Sighting{mdns(0, "10.0.0.5:80", "mdns:a._hap._tcp")}, 1},
		{"two announced", []home.Sighting{mdns(0, "10.0.0.5:80", "mdns:a._hap._tcp"), mdns(0, "10.0.0.5:81",
			"mdns:b._hap._tcp")}, 3},
		{"another that answers", []home.Sighting{udp(0, "10.0.0.5:9998", home.Plug, "mac:50c7bf010204")}, 2},
		{"a kind that does not agree", []home.Sighting{func() home.Sighting {
			s := mdns(0, "10.0.0.5:80", "mdns:a._hap._tcp")
			s.Kind = home.Camera
			return s
		}()}, 2},
		{"a native device beside it", []home.Sighting{native(0, "10.0.0.5:80", "rk:a")}, 2},
	} {
		r := devices.NewRoster()
		r.See(append(c.with, probed))
		if got := r.Devices(); len(got) != c.want {
			t.Errorf("%s: %v, want %d", c.name, ids(got), c.want)
		}
	}
}

func TestAHubForTwoHundredIsTwoHundredDevices(t *testing.T) {
	r := devices.NewRoster()
	var all []home.Sighting
	for i := range 200 {
		all = append(all, mdns(0, fmt.Sprintf("10.0.0.5:%d", 1000+i), fmt.Sprintf("mdns:plug-%d._http._tcp", i)))
	}
	if n := len(r.See(all)); n != 200 || len(r.Devices()) != 200 {
		t.Errorf("%d new, %d devices; want 200", n, len(r.Devices()))
	}
}

func TestLeavingReturningAndMovingAreChanges(t *testing.T) {
	r := devices.NewRoster()
	s := mdns(0, "10.0.0.1:80", "mac:50c7bf010203", "mdns:x._shelly._tcp")
	moved := mdns(40, "10.0.0.9:80", s.Keys...)
	const id = "mac-50c7bf010203"
	for _, step := range []struct {
		name    string
		see     home.Sighting
		changed int
		here    bool
		addr    string
	}{
		{"new", s, 1, true, "10.0.0.1:80"},
		{"the same again", mdns(10, "10.0.0.1:80", s.Keys...), 0, true, "10.0.0.1:80"},
		{"gone", gone(s, 20), 1, false, "10.0.0.1:80"},
		{"gone again", gone(s, 21), 0, false, "10.0.0.1:80"},
		{"back", mdns(30, "10.0.0.1:80", s.Keys...), 1, true, "10.0.0.1:80"},
		{"moved", moved, 1, true, "10.0.0.9:80"},
		{"an old word of the old address", mdns(35, "10.0.0.1:80", s.Keys...), 0, true, "10.0.0.9:80"},
	} {
		if n := len(r.See([]home.Sighting{step.see})); n != step.changed {
			t.Errorf("%s: %d changed, want %d", step.name, n, step.changed)
		}
		if d, ok := r.Device(id); !ok || d.Addr.String() != step.addr || r.Here(id) != step.here {
			t.Errorf("%s: at %s, here %v; want %s, %v", step.name, d.Addr, r.Here(id), step.addr, step.here)
		}
	}
}

// An attacker announces a service of its own with the key of a device that answers.
func TestABorrowedKeyDoesNotTakeOverAnAddress(t *testing.T) {
	for _, c := range []struct {
		name        string
		true_, evil func(second int) home.Sighting
	}{
		{
			"a native device's",
			func(s int) home.Sighting { return native(s, "10.0.0.1:7443", "rk:abc", "mdns:cam._rekeyd._tcp") },
			func(s int) home.Sighting { return native(s, "10.0.0.66:1", "rk:abc", "mdns:evil._rekeyd._tcp") },
		}, {
			"a Kasa plug's, by mDNS",
			func(s int) home.Sighting { return udp(s, "10.0.0.1:9999", home.Plug, "mac:50c7bf010203") },
			func(s int) home.Sighting {
				return mdns(s, "10.0.0.66:1", "mac:50c7bf010203", "mdns:evil._shelly._tcp")
			},
		},
	} {
		r := devices.NewRoster()
		first := c.true_(0)
		r.See([]home.Sighting{first})
		id := r.Devices()[0].ID
		for s := 10; s < 600; s += 10 {
			r.See([]home.Sighting{c.evil(s)})
			if s%60 == 0 {
				r.See([]home.Sighting{c.true_(s)})
			}
			if d, _ := r.Device(id); d.Addr != first.Addr {
				t.Fatalf("%s: after %d s at %s", c.name, s, d.Addr)
			}
		}
		if c.name == "a native device's" { // silence ends it
			for s := 600; s < 900; s += 60 {
				r.See([]home.Sighting{c.evil(s)})
			}
			if d, _ := r.Device(id); d.Addr.String() != "10.0.0.66:1" {
				t.Errorf("%s: a device that moved is not followed: %s", c.name, d.Addr)
			}
		}
	}
}

func TestADisputedNameJoinsNoDevice(t *testing.T) {
	a := mdns(0, "10.0.0.1:80", "mac:50c7bf010203", "mdns:x._shelly._tcp")
	b := mdns(1, "10.0.0.2:80", "mac:50c7bf999999", "mdns:x._shelly._tcp")
	r := devices.NewRoster()
	r.See([]home.Sighting{a})
	r.See([]home.Sighting{b})
	if got := ids(r.Devices()); !slices.Equal(got, []home.DeviceID{"mac-50c7bf010203", "mac-50c7bf999999"}) {
		t.Errorf("%v, want both devices, each by itself", got)
	}
}

func TestRestoredDevicesAreAbsentUntilSeen(t *testing.T) {
	r := devices.NewRoster()
	saved := home.Device{
		ID: "mac-50c7bf010203", Name: "Hall", Kind: home.Plug, Protocol: home.IOT, Model: "HS100",
		Addr: netip.MustParseAddrPort("10.0.0.1:9999"), Keys: []string{"mac:50c7bf010203", "iot:8006AB"}, Seen: at(-500),
	}
	r.Bind([]home.Device{saved})
	if d, ok := r.Device(saved.ID); !ok || !reflect.DeepEqual(d, saved) || r.Here(saved.ID) {
		t.Errorf("restored as %+v, here %v", d, r.Here(saved.ID))
	}
	got := r.See([]home.Sighting{udp(0, "10.0.0.1:9999", home.Plug, "mac:50c7bf010203")})
	if len(got) != 1 || !r.Here(saved.ID) || got[0].Name != "Hall" || len(got[0].Keys) != 2 {
		t.Errorf("back as %+v", got)
	}
	got = r.See([]home.Sighting{udp(1, "10.0.0.2:9999", home.Plug, "mac:50c7bf010203")})
	if len(got) != 1 || got[0].Addr.String() != "10.0.0.2:9999" {
		t.Errorf("moved: %+v", got)
	}
}

// Laws: the order of sightings does not matter, no two devices share a key or a name, and every key's sighting is
// found again.
func TestRosterLaws(t *testing.T) {
	keys := []string{
		"rk:1",
		"rk:2",
		"mac:500000000001",
		"mac:500000000002",
		"iot:A",
		"hap:b",
		"mdns:x._hap._tcp",
		"mdns:y._hap._tcp",
		"mdns:z._http._tcp",
	}
	one := rapid.Custom(func(t *rapid.T) home.Sighting {
		s := home.Sighting{
			Source:   rapid.SampledFrom([]string{"mdns", "iot-udp"}).Draw(t, "source"),
			Protocol: rapid.SampledFrom([]home.Protocol{"", home.IOT, home.Native}).Draw(t, "protocol"),
			Keys:     rapid.SliceOfNDistinct(rapid.SampledFrom(keys), 1, 3, rapid.ID).Draw(t, "keys"),
			Kind:     rapid.SampledFrom([]home.Kind{home.Other, home.Plug, home.Camera}).Draw(t, "kind"),
			Gone:     rapid.IntRange(0, 5).Draw(t, "gone") == 0,
			At:       at(rapid.IntRange(0, 400).Draw(t, "at")),
		}
		s.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(1, 4).Draw(t, "host"))}), 80)
		return s
	})
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(one, 1, 12).Draw(t, "sightings")
		r := devices.NewRoster()
		r.See(all)
		want := r.Devices()

		owner := map[string]home.DeviceID{}
		for _, d := range want {
			if x, ok := r.Device(d.ID); !ok || !reflect.DeepEqual(x, d) {
				t.Fatalf("Device(%s) = %+v, %v; want %+v", d.ID, x, ok, d)
			}
			for _, k := range append(d.Keys, "id "+string(d.ID)) {
				if owner[k] != "" {
					t.Fatalf("%s and %s share %s", owner[k], d.ID, k)
				}
				owner[k] = d.ID
			}
		}

		shuffled := slices.Clone(all)
		rand.New(rand.NewSource(int64(rapid.Uint32().Draw(t, "seed")))).
			Shuffle(len(all), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		r = devices.NewRoster()
		seen := map[home.DeviceID]home.Device{}
		for _, s := range shuffled {
			for _, d := range r.See([]home.Sighting{s}) {
				seen[d.ID] = d
			}
		}
		if got := r.Devices(); !reflect.DeepEqual(got, want) {
			t.Fatalf("in another order:\n%+v\nwant\n%+v", got, want)
		}
		for _, d := range want { // whoever listens to changes knows what the roster knows
			last := seen[d.ID]
			d.Seen = last.Seen
			if len(d.AlsoAt) == 0 && len(last.AlsoAt) == 0 {
				d.AlsoAt, last.AlsoAt = nil, nil // no other address, whichever form that has
			}
			if !reflect.DeepEqual(last, d) {
				t.Fatalf("last reported %+v, is %+v", seen[d.ID], d)
			}
		}
	})
}

func TestRosterIsBounded(t *testing.T) {
	r := devices.NewRoster()
	for i := range 40_000 {
		r.See([]home.Sighting{mdns(i/1000, "10.0.0.6:1", fmt.Sprintf("mdns:flood-%d._http._tcp", i))})
	}
	if n := len(r.Devices()); n > 8192 {
		t.Errorf("%d devices are kept in a flood", n)
	}
}

func TestADeviceIsClassifiedAnewAtEverySighting(t *testing.T) {
	r := devices.NewRoster()
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	sight := func(source string, p home.Protocol, port uint16, owner string, after time.Duration) home.Device {
		t.Helper()
		r.See([]home.Sighting{{
			Source: source, Protocol: p, Keys: []string{"mac:5ce931010203"}, Kind: home.Plug, Model: "HS110(EU)", Owner: owner,
			Extra: `{"fw":1}`,
			Addr:  netip.AddrPortFrom(netip.MustParseAddr("127.1.2.3"), port), At: at.Add(after),
		}})
		d, ok := r.Device("mac-5ce931010203")
		if !ok {
			t.Fatal("not there")
		}
		return d
	}
	is := func(d home.Device, p home.Protocol, port uint16, owner string) {
		t.Helper()
		if d.Protocol != p || d.Addr.Port() != port || d.Owner != owner {
			t.Errorf("%s at port %d, owner %q; want %s at %d, %q", d.Protocol, d.Addr.Port(), d.Owner, p, port, owner)
		}
	}
	anna, bob := home.OwnerOf("anna@example.org"), home.OwnerOf("bob@example.org")
	d := sight("tapo-udp", home.SmartAES, 80, anna, 0)
	is(d, home.SmartAES, 80, anna)
	if d.Extra != `{"fw":1}` || d.Name != "HS110-0203" {
		t.Errorf("%+v", d)
	}
	// New firmware speaks another protocol, and has another owner by now.
	is(sight("tapo-udp", home.KLAP2, 8080, bob, time.Minute), home.KLAP2, 8080, bob)
	// An older one answered on port 9999 before; that holds until it has not been sighted for a while.
	r = devices.NewRoster()
	is(sight("iot-udp", home.IOT, 9999, anna, 0), home.IOT, 9999, anna)
	is(sight("tapo-udp", home.KLAP1, 80, anna, time.Minute), home.IOT, 9999, anna)
	is(sight("tapo-udp", home.KLAP1, 80, anna, devices.Hold+time.Minute), home.KLAP1, 80, anna)
}
