package daemon_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// A state directory from a backup has verdicts of a time that is over.
func TestAVerdictOfAnEarlierRunIsNotShownAsCurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			h.take(front)
			time.Sleep(time.Second)
			must(t, h.store.SignedIn(acct, 1, []home.DeviceID{front}))
			if row := h.row(front); row.Verdict != home.Current {
				t.Fatalf("before the restart: %+v", row)
			}
		})
		h.drive(map[home.Protocol]daemon.Driver{home.IOT: h.lan})
		h.run(func() {
			time.Sleep(time.Second)
			row := h.row(front)
			if row.Verdict != home.Unasked || !strings.Contains(row.Detail, "not asked since") || row.Hint != "" {
				t.Errorf("after a restart, before it was asked: %+v", row)
			}
			h.see(front)
			time.Sleep(time.Second)
			if row := h.row(front); row.Verdict != home.Current {
				t.Errorf("after it was asked: %+v", row)
			}
		})
	})
}

func TestTheCountNamesDevicesWithoutProofAndItsTime(t *testing.T) {
	s := daemon.Status{Devices: []daemon.Row{
		{Bound: true, Verdict: home.Current},
		{Bound: true, Verdict: home.Current, Unproven: true},
		{Bound: true, Verdict: home.Unasked, Unproven: true},
		{Verdict: home.Current},
	}}
	want := "2 of 3 devices are signed in with the newest password (1 of them cannot prove it)"
	if got := s.Progress(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.AsOf = time.Now()
	if got := s.Progress(); !strings.HasSuffix(got, ", as of "+s.AsOf.Local().Format("15:04")) {
		t.Errorf("with the link down: %q", got)
	}
	s.Ended = true
	if got := s.Progress(); !strings.Contains(got, "probably changed at TP-Link") {
		t.Errorf("after the vendor's cloud has refused the sign-in: %q", got)
	}
}
