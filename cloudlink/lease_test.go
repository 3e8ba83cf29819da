package cloudlink_test

import (
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// A message that the broker repeats renews no lease: only the answer to the request that waits does. The list comes in
// pages.
func TestALeaseIsRenewedByAnAnswerOnly(t *testing.T) {
	lists := make(chan []home.Held, 16)
	s := play(t, func(o *cloudlink.Options) {
		o.Turns = func(held []home.Held, changed bool) {
			if changed {
				lists <- held
			}
		}
	})
	const lamp, socket, camera = home.DeviceID("mac-50c7bf000001"), home.DeviceID("mac-50c7bf000002"), "mac-50c7bf000003"
	page := func(id home.DeviceID, holder string, more bool) *wire.Leased {
		return &wire.Leased{
			Account: house1, Revision: "r1", More: more, Devices: []wire.Held{{ID: string(id), Hub: holder, SignedIn: 1}},
			Hubs: []wire.Sharer{{ID: s.id.Name, Live: true}, {ID: "hub-other", Label: "attic", Live: true}},
		}
	}
	if !s.link.Turn(lamp).Mine {
		t.Error("a hub that is alone needs a lease")
	}
	s.send(&wire.Message{To: s.id.Name, Body: page(lamp, s.id.Name, false)})
	m, ask := next[*wire.Lease](s)
	if ask.Revision != "" || ask.Release {
		t.Errorf("the first request is %+v", ask)
	}
	s.send(&wire.Message{To: s.id.Name, Re: "another", Body: page(lamp, s.id.Name, false)})
	if s.link.Turn(lamp).Mine {
		t.Error("a message without a request was taken for a lease")
	}
	s.send(&wire.Message{To: s.id.Name, Re: m.ID, Body: page(lamp, s.id.Name, true)})
	if m, ask = next[*wire.Lease](s); ask.After != string(lamp) {
		t.Errorf("the second page is asked for with %+v", ask)
	}
	if s.link.Turn(lamp).Mine {
		t.Error("half a list is a lease")
	}
	s.send(&wire.Message{To: s.id.Name, Re: m.ID, Body: page(socket, "hub-other", false)})
	select {
	case held := <-lists:
		if len(held) != 2 || held[0].Standing != home.HeldHere || held[1].Standing != home.HeldByOther {
			t.Errorf("the list is %+v", held)
		}
	case <-time.After(time.Minute):
		t.Fatal("no list")
	}
	if turn := s.link.Turn(lamp); !turn.Mine {
		t.Errorf("the turn of a device that it holds: %+v", turn)
	}
	if turn := s.link.Turn(socket); turn.Mine || turn.Hub != "attic" || turn.Epoch != 1 {
		t.Errorf("the turn of a device of the other hub: %+v", turn)
	}
	if s.link.Turn(camera).Mine {
		t.Error("a device that is not listed is its own")
	}
	a, err := s.store.Account()
	must(t, err)
	if !a.Shared {
		t.Error("after a restart the hub would not know that it is one of several")
	}
}
