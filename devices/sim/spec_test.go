package sim_test

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/sim"
)

func TestCountGivesTheNumberOfEachKind(t *testing.T) {
	got, err := sim.ParseCount("plug:iot=2, Camera:Native=1")
	if err != nil || len(got) != 3 || got[1].Kind != home.Plug || got[1].Protocol != home.IOT ||
		got[2].Kind != home.Camera ||
		got[2].Protocol != home.Native {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, text := range []string{
		"", "plug", "plug=1", "plug:iot", "plug:iot=", "plug:iot=0", "plug:iot=-1", "plug:iot=10001",
		"plug:iot=9999,bulb:iot=2", "lamp:iot=1", "plug:klap=1", "other:iot=1", "camera:iot:ec60=1", "plug:iot=1,",
	} {
		if got, err := sim.ParseCount(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestHouseIsReadOrRefusedWithTheFieldThatIsWrong(t *testing.T) {
	got, err := sim.ReadHouse(strings.NewReader(`[
		{"kind":"plug","protocol":"iot","name":"Hall","model":"hs110","username":"a@b.c","password":"x","addr":"127.1.2.3"},
		{"kind":"camera","protocol":"native"},
		{"kind":"bulb","protocol":"iot","defects":["mute","curt"]}]`))
	if err != nil || len(got) != 3 || !slices.Equal(got[2].Defects, []sim.Defect{sim.Mute, sim.Curt}) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if s := got[0]; s.Name != "Hall" || s.Model != "hs110" || s.Username != "a@b.c" || s.Password.Reveal() != "x" ||
		s.Addr != netip.MustParseAddr("127.1.2.3") {
		t.Errorf("got %+v", s)
	}
	for _, c := range []struct{ text, want string }{
		{`{}`, "list"},
		{`[]`, "0 devices"},
		{`[7]`, "device 1"},
		{
			`[{"kind":"plug","protocol":"iot"},{"kind":"plug","protocol":"iot","colour":"red"}]`,
			`device 2: unknown field "colour"`,
		},
		{`[{"kind":"lamp","protocol":"iot"}]`, `"kind"`},
		{`[{"kind":"plug","protocol":"mqtt"}]`, `"protocol"`},
		{`[{"kind":"plug","protocol":"iot","model":"kl130"}]`, `"model"`},
		{`[{"kind":"plug","protocol":"iot","username":"a"}]`, `"password"`},
		{`[{"kind":"plug","protocol":"iot","password":"hunter2"}]`, `"password"`},
		{`[{"kind":"plug","protocol":"iot","password":12345}]`, `"password"`},
		{`[{"kind":"plug","protocol":"iot","addr":"10.0.0.1"}]`, `"addr"`},
		{`[{"kind":"plug","protocol":"iot","addr":"home"}]`, `"addr"`},
		{`[{"kind":"plug","protocol":"iot","name":"a\u0007b"}]`, `"name"`},
		{`[{"kind":"plug","protocol":"iot","defects":"mute"}]`, `"defects"`},
		{`[{"kind":"plug","protocol":"iot","defects":[7]}]`, `"defects"`},
		{`[{"kind":"plug","protocol":"iot","defects":["rusty"]}]`, `"rusty": want any of mute`},
		{`[{"kind":"camera","protocol":"native","defects":["mute"]}]`, `"defects"`},
		{`[{"kind":"camera","protocol":"native","username":"a","password":"hunter2"}]`, `"username"`},
	} {
		_, err := sim.ReadHouse(strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want something of %s", c.text, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "12345")) {
			t.Errorf("a password is in %v", err)
		}
	}
}

func TestNamesAndAddressesAreUnique(t *testing.T) {
	iot := func(name, addr string) sim.Spec {
		s := sim.Spec{Kind: home.Plug, Protocol: home.IOT, Name: name}
		if addr != "" {
			s.Addr = netip.MustParseAddr(addr)
		}
		return s
	}
	for _, c := range []struct {
		specs []sim.Spec
		want  string
	}{
		{nil, "0 devices"},
		{[]sim.Spec{iot("a", ""), iot("a", "")}, `"name"`},
		{[]sim.Spec{iot("a", "127.0.0.9"), iot("b", "127.0.0.9")}, `"addr"`},
		{[]sim.Spec{iot("a", "192.0.2.1")}, "127.0.0.0/8"},
	} {
		if _, err := sim.New(sim.Options{Log: slog.New(slog.DiscardHandler)}, c.specs); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want something of %s", c.specs, err, c.want)
		}
	}
	for _, o := range []sim.Options{{}, {Log: slog.New(slog.DiscardHandler), Base: netip.MustParseAddr("10.0.0.1")}} {
		if _, err := sim.New(o, []sim.Spec{iot("", "")}); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

func FuzzHouseIsReadOrRefused(f *testing.F) {
	f.Add(`[{"kind":"plug","protocol":"iot","name":"Hall","username":"a@b.c","password":"x","addr":"127.1.2.3"}]`)
	f.Add(`[{"kind":"camera","protocol":"native"}]`)
	f.Add(`[null,{}]`)
	f.Fuzz(func(t *testing.T, text string) {
		specs, err := sim.ReadHouse(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, s := range specs {
			if s.Addr.IsValid() && !s.Addr.IsLoopback() {
				t.Errorf("a device outside this machine: %v", s.Addr)
			}
			if one := string(s.Kind) + ":" + string(s.Protocol) + "=1"; s.Model == "" {
				if _, err := sim.ParseCount(one); err != nil {
					t.Errorf("%s: %v", one, err)
				}
			}
		}
	})
}
