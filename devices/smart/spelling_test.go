package smart_test

import (
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// The account is Ann@example.org, and the devices were set up with ANN@Example.Org, whose hash they announce: they are
// the account's, are moved, and are then the account's in its own spelling.
func TestDeviceSetUpInAnotherLetterCaseIsMoved(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	const set = "ANN@Example.Org"
	aes, _ := eager(t)
	ds := play(t, plug(set, "old-password"), older(set, "old-password"))
	for i, d := range []either{driver(t), aes} {
		dev := seen(ds[i])
		dev.Owner = home.OwnerOf(set)
		subject := home.Subject{Account: agreed, Credentials: both.Credentials}.For(dev)
		c := home.Candidates{Account: agreed, Credentials: subject.Credentials, Terms: agreedBoth.Terms}
		f, err := d.Probe(t.Context(), dev, c)
		if err != nil || f.Match != home.Ours || f.Verdict.State != home.WrongCase || f.Verdict.Epoch != 4 {
			t.Fatalf("%s: found %s, %+v, %v", dev.Protocol, f.Match, f.Verdict, err)
		}
		m := home.Move{Account: agreed, From: subject.Credentials[3], To: newPair, Known: subject.Credentials, Terms: c.Terms}
		if err := d.Rekey(t.Context(), dev, m); err != nil {
			t.Errorf("%s: %v", dev.Protocol, err)
		}
		if !ds[i].Holds(email, newPair.Password) {
			t.Errorf("%s: it holds %s", dev.Protocol, ds[i].Username())
		}
	}
	if wrong, _ := ds[1].SignIns(); wrong > 1 {
		t.Errorf("%d wrong sign-ins, of a device that states its owner", wrong)
	}
}
