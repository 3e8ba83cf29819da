package localstore_test

import (
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestSealingKeysAreReplacedOneAfterTheOther(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	first, err := s.HubKeys()
	must(t, err)
	key := func(b byte) home.SealingKey {
		return home.SealingKey{
			Seed:  home.SecretBytes(append(make([]byte, 31), b)),
			Made:  time.Unix(int64(b), 0).UTC(),
			Epoch: home.Epoch(b),
		}
	}
	has := func(want ...home.SealingKey) {
		t.Helper()
		got, err := s.SealingKeys()
		must(t, err)
		if len(got) != len(want) {
			t.Fatalf("%d keys, want %d", len(got), len(want))
		}
		for i := range got {
			if !got[i].Seed.Equal(want[i].Seed) || !got[i].Made.Equal(want[i].Made) || got[i].Epoch != want[i].Epoch {
				t.Errorf("key %d is not the one wanted", i)
			}
		}
	}
	made := home.SealingKey{Seed: first.Seal}
	has(made)
	must(t, s.AddSealingKey(key(1)))
	has(key(1), made)
	wants(t, s.KeepSealingKey(home.SecretBytes([]byte("unknown"))), home.ErrNotFound)
	has(key(1), made)
	must(t, s.KeepSealingKey(key(1).Seed))
	has(key(1))
	must(t, s.AddSealingKey(key(2)))
	must(t, s.AddSealingKey(key(3)))
	has(key(3), key(2))
	must(t, s.Close())
	s = open(t, dir)
	has(key(3), key(2))
}

func TestASessionEndsItsErrandInTheSameTransaction(t *testing.T) {
	s := open(t, t.TempDir())
	must(t, s.Enrol(fillAccount(), home.Credential{Epoch: 1}))
	must(t, fillBegin(s, 1))
	must(t, s.Bind(acct, fillDevices()))
	must(t, observeErr(s, front, home.Verdict{State: home.Current, Epoch: 1}))
	left := func() (n int) {
		t.Helper()
		es, err := s.Errands(100)
		must(t, err)
		for _, e := range es {
			if e.Kind == home.ErrandSignIn && e.Device == front {
				n++
			}
		}
		return n
	}
	if left() != 1 {
		t.Fatal("no sign-in waits")
	}
	must(t, fillBegin(s, 2))
	must(t, observeErr(s, front, home.Verdict{State: home.Current, Epoch: 2}))
	must(t, s.SignedIn(acct, 1, []home.DeviceID{front}))
	if left() != 1 {
		t.Error("the session of epoch 1 ended the errand of epoch 2")
	}
	must(t, s.SignedIn(acct, 2, []home.DeviceID{front}))
	if left() != 0 {
		t.Error("the errand is left")
	}
}
