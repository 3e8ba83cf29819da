package cloudlink_test

import (
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestABindingIsReportedWithTheProofThatIsRecordedForIt(t *testing.T) {
	s := play(t, nil)
	const plug = home.DeviceID("mac-50c7bf010203")
	must(t, s.store.Bind(house1, []home.Device{{ID: plug, Kind: home.Plug, Protocol: home.KLAP2}}))
	s.link.Wake()
	m, b := next[*wire.Bind](s)
	if len(b.Devices) != 1 || b.Devices[0].Rank != 0 {
		t.Fatalf("before any proof: %+v", b.Devices)
	}
	_, err := s.store.Observe(plug, home.Verdict{State: home.Current, Epoch: 1}, home.HashFirst, time.Now())
	must(t, err)
	// Queued before the answer, it stays before the sign-in that Observe has queued, which nothing answers here.
	must(t, s.store.Queue([]home.Errand{{Kind: home.ErrandBind, Device: plug, At: time.Now()}}))
	s.send(&wire.Message{Re: m.ID, To: m.From, Body: &wire.Receipt{Account: house1, Epoch: 1, Notice: s.notices[0]}})
	s.link.Wake()
	for {
		again, b := next[*wire.Bind](s)
		if again.ID == m.ID {
			continue // repeated before its answer came
		}
		if len(b.Devices) != 1 || b.Devices[0].Rank != uint8(home.HashFirst) {
			t.Errorf("%+v, want the rank of the proof, not that of the protocol", b.Devices)
		}
		return
	}
}
