package discover

import (
	"net/netip"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// camera is a camera's answer: to the shorter question where owner is empty.
func camera(at, owner string) home.Sighting {
	return home.Sighting{
		Source: "tapo-udp", Keys: []string{"mac:1c61b4010203"}, Protocol: home.TapoCam, Owner: owner,
		Addr: netip.MustParseAddrPort(at),
	}
}

// A camera states its owner only in answer to the longer question, and may state its port there, too. What it stated is
// kept in every later sweep, whichever answer comes first.
func TestAHiddenOwnerIsKeptFromSweepToSweep(t *testing.T) {
	neighbour := home.OwnerOf("bob@example.org")
	r := newReplies(10, func(string) {})
	for sweep := range 3 {
		r.begin()
		r.ask(true)
		for _, s := range []home.Sighting{camera("127.0.0.9:443", ""), camera("127.0.0.9:8443", neighbour)} {
			got, ok := r.enter(s, 20002)
			if ok && (got.Owner != neighbour || got.Addr.Port() != 8443) {
				t.Errorf("sweep %d passes on owner %q at %s", sweep, got.Owner, got.Addr)
			}
		}
		if all := r.end(time.Now()); len(all) != 0 {
			t.Errorf("sweep %d ends with %+v", sweep, all)
		}
	}
}

// A flood of replies fills the table. Replies of bound devices are passed on all the same, and take no room.
func TestRepliesOfTheHousePassAFullTable(t *testing.T) {
	counts := map[string]int{}
	r := newReplies(2, func(what string) { counts[what]++ })
	r.house = func(keys []string) bool { return keys[0] == "mac:50c7bf000001" }
	r.begin()
	plug := func(mac string) home.Sighting {
		return home.Sighting{
			Source: "iot-udp", Keys: []string{"mac:" + mac}, Protocol: home.IOT, Addr: netip.MustParseAddrPort("127.0.0.9:9999"),
		}
	}
	for _, mac := range []string{"0a0000000001", "0a0000000002", "0a0000000003"} {
		r.enter(plug(mac), 9999)
	}
	if _, ok := r.enter(plug("50c7bf000001"), 9999); !ok || len(r.of) != 2 || counts["reply beyond limit"] != 1 {
		t.Errorf("passed on: %t, %d replies kept, dropped %v", ok, len(r.of), counts)
	}
}

// No host may guess a camera's password before the longer question was answered, or had the time of a whole sweep: the
// key for that question takes a router some seconds.
func TestACameraThatMayHideItsOwnerIsHeldBack(t *testing.T) {
	r := newReplies(10, func(string) {})
	short := camera("127.0.0.9:443", "")
	r.begin()
	r.ask(false) // there is no key yet
	if _, ok := r.enter(short, 20002); ok {
		t.Error("passed on before the longer question")
	}
	if all := r.end(short.At); len(all) != 0 {
		t.Errorf("passed on after a sweep without the longer question: %+v", all)
	}
	r.begin()
	r.ask(true)
	if _, ok := r.enter(short, 20002); ok {
		t.Error("passed on before the longer question had its time")
	}
	elsewhere := camera("127.0.0.10:443", "")
	if _, ok := r.enter(elsewhere, 20002); ok {
		t.Error("passed on for a second address")
	}
	if all := r.end(short.At); len(all) != 1 || all[0].Owner != "" {
		t.Errorf("after its time %+v, want the camera", all)
	}
	r.begin()
	if _, ok := r.enter(short, 20002); !ok {
		t.Error("held back once more")
	}
	r.end(short.At)
	for range 2 {
		r.begin() // it is silent at its address
		r.end(short.At)
	}
	r.begin()
	if _, ok := r.enter(elsewhere, 20002); ok {
		t.Error("passed on at a new address before the longer question")
	}
	plug := camera("127.0.0.11:80", "")
	plug.Protocol, plug.Keys = home.KLAP2, []string{"mac:1c61b4010204"}
	if _, ok := r.enter(plug, 20002); !ok {
		t.Error("a plug hides nothing, and is held back")
	}
}

func TestTheLongerQuestionIsReadyWithTheKey(t *testing.T) {
	probes := Tapo()
	r := &run{Discovery: &Discovery{o: Options{Probes: append(probes, Kasa())}}}
	if r.ready() {
		t.Error("ready without a key")
	}
	probes[0].(tapo).prepare()
	if !r.ready() {
		t.Error("not ready with the key")
	}
}
