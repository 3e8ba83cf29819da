package localstore_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// bitFlipped changes one bit in the middle of a record.
func bitFlipped(bucket, key string) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		raw := append([]byte(nil), b.Get([]byte(key))...)
		raw[len(raw)/2] ^= 1
		return b.Put([]byte(key), raw)
	}
}

// damagedStore is a store with three bound devices, in which the disk has damaged something.
func damagedStore(t *testing.T, spoil ...func(*bbolt.Tx) error) *localstore.Store {
	t.Helper()
	dir := t.TempDir()
	s := enrolled(t, dir, front, back, spare)
	begin(t, s, 1)
	must(t, s.Close())
	for _, do := range spoil {
		must(t, edit(dir, do))
	}
	return open(t, dir)
}

func TestADamagedDeviceIsSetAsideAndTheOthersContinue(t *testing.T) {
	for name, spoil := range map[string]func(*bbolt.Tx) error{
		"binding": bitFlipped("bindings", string(front)),
		"device":  bitFlipped("devices", string(front)),
		"secret":  bitFlipped("vault", "bind/"+string(front)),
	} {
		t.Run(name, func(t *testing.T) {
			s := damagedStore(t, spoil)
			must(t, s.Check())
			if bs, err := s.Bindings(); err != nil || len(bs) != 2 {
				t.Fatalf("bindings %+v, %v", bs, err)
			}
			if dropped, err := s.ForgetCredentials(acct, 0); err != nil || dropped != 0 {
				t.Errorf("dropped %d credentials that the damaged device may hold, %v", dropped, err)
			}
			set, err := s.Damaged()
			if err != nil || len(set) != 1 || set[0].Record != home.DamagedDevice || set[0].Device != front ||
				set[0].Hint() == "" {
				t.Fatalf("set aside %+v, %v", set, err)
			}
			events, err := s.History(1)
			if err != nil || events[0].What != "damaged record set aside" {
				t.Errorf("history %+v, %v", events, err)
			}
			bind(t, s, front)
			if set, err := s.Damaged(); err != nil || len(set) != 0 {
				t.Errorf("after the device was bound again: %+v, %v", set, err)
			}
			must(t, s.Check())
		})
	}
}

func TestADamagedPasswordIsGrantedAgain(t *testing.T) {
	s := damagedStore(t, func(tx *bbolt.Tx) error {
		return bitFlipped("vault", "cred/"+string(acct)+"/\x00\x00\x00\x00\x00\x00\x00\x01")(tx)
	})
	set, err := s.Damaged()
	if err != nil || len(set) != 1 || set[0].Record != home.DamagedPassword || set[0].Epoch != 1 || set[0].Hint() == "" {
		t.Fatalf("set aside %+v, %v", set, err)
	}
	sub, err := s.Subject(front)
	if err != nil || len(sub.Credentials) != 0 {
		t.Fatalf("%+v, %v", sub, err)
	}
	begin(t, s, 1)
	if sub, err = s.Subject(front); err != nil || len(sub.Credentials) != 1 {
		t.Errorf("after the grant of the same epoch: %+v, %v", sub.Credentials, err)
	}
}

func TestDamageThatTheStoreRepairs(t *testing.T) {
	first := "\x00\x00\x00\x00\x00\x00\x00\x01"
	queue := func(tx *bbolt.Tx) error {
		q := tx.Bucket([]byte("outbox")).Bucket([]byte("queue"))
		k, raw := q.Cursor().First()
		raw = append([]byte(nil), raw...)
		raw[3] ^= 4
		return q.Put(append([]byte(nil), k...), raw)
	}
	index := func(tx *bbolt.Tx) error {
		i := tx.Bucket([]byte("outbox")).Bucket([]byte("index"))
		k, n := i.Cursor().First()
		return errors.Join(i.Delete(append([]byte(nil), k...)), i.Put([]byte("zz/other"), append([]byte(nil), n...)))
	}
	spent := func(tx *bbolt.Tx) error { return tx.Bucket([]byte("budget")).Put([]byte(front), []byte("[damaged")) }
	for name, spoil := range map[string]func(*bbolt.Tx) error{
		"history": bitFlipped("history", first), "terminal": bitFlipped("hub", "terminal"), "queue": queue, "index": index,
		"budget": spent,
		"counter": func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("outbox")).Bucket([]byte("queue")).SetSequence(1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			before := enrolled(t, dir, front, back, spare)
			name1, err := before.Terminal()
			must(t, errors.Join(err, before.Close(), edit(dir, spoil)))
			s := open(t, dir)
			must(t, s.Check())
			if bs, err := s.Bindings(); err != nil || len(bs) != 3 {
				t.Fatalf("%+v, %v", bs, err)
			}
			errands, err := s.Errands(100)
			must(t, err)
			var bound []home.DeviceID
			for _, e := range errands {
				if e.Kind == home.ErrandBind {
					bound = append(bound, e.Device)
				}
			}
			if len(bound) != 3 {
				t.Errorf("errands %+v", errands)
			}
			if name2, err := s.Terminal(); err != nil || (name1 != name2) != (name == "terminal") {
				t.Errorf("terminal %q after %q, %v", name2, name1, err)
			}
			if err := s.Spend(front); name == "budget" && !errors.Is(err, home.ErrBudget) {
				t.Errorf("a sign-in after the count was damaged: %v", err)
			}
			set, err := s.Damaged()
			if err != nil || len(set) != 1 || slices.ContainsFunc(set, func(d home.Damage) bool { return d.Hint() != "" }) {
				t.Errorf("set aside %+v, %v", set, err)
			}
		})
	}
}

func TestADamagedCountOfStartsGoesUp(t *testing.T) {
	dir := t.TempDir()
	s := enrolled(t, dir, front)
	n1, err := s.NextBoot()
	must(t, errors.Join(err, s.Close(), edit(dir, bitFlipped("hub", "boot"))))
	if n2, err := open(t, dir).NextBoot(); err != nil || n2 <= n1 {
		t.Errorf("start %d after %d, %v", n2, n1, err)
	}
}

func TestADamagedAccountRefusesTheStore(t *testing.T) {
	dir := t.TempDir()
	must(t, enrolled(t, dir, front).Close())
	must(t, edit(dir, bitFlipped("accounts", string(acct))))
	before, err := os.ReadFile(filepath.Join(dir, "rekeyd.db"))
	must(t, err)
	_, err = localstore.Open(localstore.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	wants(t, err, home.ErrCorrupt)
	after, err := os.ReadFile(filepath.Join(dir, "rekeyd.db"))
	if must(t, err); string(before) != string(after) {
		t.Error("the refused file was changed")
	}
}
