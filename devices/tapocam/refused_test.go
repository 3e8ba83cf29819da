package tapocam_test

import (
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/devices/tapocam"
)

func TestARefusedPasswordIsNotTriedAgainAfterARestart(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	s := play(t, camera("unknown", sim.Hashed))[0]
	b, disk := purse(), &keyring.Transient{}
	b.limit = 100
	for range 3 { // restarts
		d := driver(t, tapocam.Options{Budget: b, Memory: disk})
		expect(t, probe(t, d, seen(s), both), home.Unknown, home.Mismatch, 0)
	}
	if wrong, _ := s.SignIns(); wrong != 4 { // two of the account, two of the maker
		t.Errorf("%d wrong sign-ins", wrong)
	}
	// Its owner orders a try: what was refused may be sent again.
	kept, err := disk.SignIns(seen(s).ID)
	if err != nil {
		t.Fatal(err)
	}
	_ = disk.SaveSignIns(seen(s).ID, kept.Ordered())
	_, _ = driver(t, tapocam.Options{Budget: b, Memory: disk}).Probe(t.Context(), seen(s), both)
	if wrong, _ := s.SignIns(); wrong <= 4 {
		t.Errorf("%d wrong sign-ins after an order", wrong)
	}
}
