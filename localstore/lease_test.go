package localstore_test

import (
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// waits returns the kinds of errands of a device, in the order of the queue.
func waits(t *testing.T, s *localstore.Store, id home.DeviceID) (kinds []home.ErrandKind) {
	t.Helper()
	es, err := s.Errands(100)
	must(t, err)
	for _, e := range es {
		if e.Device == id {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds
}

// An orphaned device, and one that is not listed, is bound and signed in anew. That of another hub is left to it, but
// for its proof rank.
func TestAListMovesDevicesBetweenHubs(t *testing.T) {
	s := enrolled(t, t.TempDir(), front, back)
	begin(t, s, 2)
	for _, id := range []home.DeviceID{front, back} {
		must(t, observeErr(s, id, home.Verdict{State: home.Current, Epoch: 2}))
	}
	must(t, s.SignedIn(acct, 2, []home.DeviceID{front, back}))
	es, err := s.Errands(100)
	must(t, err)
	must(t, s.Answered(es))
	list := []home.Held{
		{Device: front, Rank: home.ProvesFirst, SignedIn: 2, Standing: home.HeldByOther},
		{Device: back, Standing: home.HeldHere},
	}
	if taken, err := s.Share(acct, list); err != nil || taken != 0 {
		t.Errorf("%d devices taken over, %v", taken, err)
	}
	if got := append(waits(t, s, front), waits(t, s, back)...); len(got) != 0 {
		t.Errorf("errands %v, want none", got)
	}
	if b, err := s.Binding(front); err != nil || b.ProofRank != home.ProvesFirst || b.CloudEpoch != 2 {
		t.Errorf("binding %+v, %v", b, err)
	}
	if b, err := s.Binding(front); err != nil || b.Consents != (home.Consents{}) {
		t.Errorf("a consent came with the list: %+v, %v", b, err)
	}
	list[0].Standing = home.Orphaned
	if taken, err := s.Share(acct, list[:1]); err != nil || taken != 2 {
		t.Errorf("%d devices taken over, want the orphaned one and the missing one; %v", taken, err)
	}
	for _, id := range []home.DeviceID{front, back} {
		if got := waits(t, s, id); len(got) != 2 || got[0] != home.ErrandBind || got[1] != home.ErrandSignIn {
			t.Errorf("%s: errands %v, want bind and sign-in", id, got)
		}
		if b, err := s.Binding(id); err != nil || b.CloudEpoch != 0 {
			t.Errorf("%s: still signed in: %+v, %v", id, b, err)
		}
	}
	must(t, s.SetShared(acct, true))
	if a, err := s.Account(); err != nil || !a.Shared {
		t.Errorf("account %+v, %v", a, err)
	}
}
