package boltfile_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

type record struct {
	Name string `json:"n"`
}

// inBucket runs do with the bucket of a new file, in one write transaction.
func inBucket(t *testing.T, do func(*bbolt.Bucket) error) {
	t.Helper()
	f := open(t, filepath.Join(t.TempDir(), "a.db"))
	if err := f.Update(func(tx *bbolt.Tx) error { return do(tx.Bucket(things)) }); err != nil {
		t.Fatal(err)
	}
}

func TestRecordsAreReadAsTheyWereWritten(t *testing.T) {
	inBucket(t, func(b *bbolt.Bucket) error {
		_, err := b.CreateBucketIfNotExists([]byte("a-bucket"))
		for _, name := range []string{"a/2", "a/1", "b/1"} {
			err = errors.Join(err, boltfile.Put(b, []byte(name), record{name}))
		}
		if v, ok, gerr := boltfile.Get[record](b, []byte("a/1")); gerr != nil || !ok || v.Name != "a/1" {
			t.Errorf("got %v, %v, %v", v, ok, gerr)
		}
		if _, ok, gerr := boltfile.Get[record](b, []byte("a/3")); gerr != nil || ok {
			t.Errorf("a record that is not there: %v, %v", ok, gerr)
		}
		walk := func(prefix string) (names []string) {
			err = errors.Join(err, boltfile.Each(b, []byte(prefix), func(k []byte, r record) error {
				names = append(names, r.Name)
				return nil
			}))
			return names
		}
		if got := walk("a/"); !slices.Equal(got, []string{"a/1", "a/2"}) {
			t.Errorf("records below a/: %v", got)
		}
		stop := errors.New("stop")
		if got := boltfile.Each(b, nil, func([]byte, record) error { return stop }); !errors.Is(got, stop) {
			t.Errorf("a walk that was ended: %v", got)
		}
		err = errors.Join(err, boltfile.DeletePrefix(b, []byte("a/")))
		if got := walk(""); !slices.Equal(got, []string{"b/1"}) {
			t.Errorf("after a/ was deleted: %v", got)
		}
		return err
	})
}

func TestARecordThatIsNoJSONIsCorrupt(t *testing.T) {
	inBucket(t, func(b *bbolt.Bucket) error {
		err := b.Put([]byte("k"), []byte("{"))
		_, _, one := boltfile.Get[record](b, []byte("k"))
		_, all := boltfile.All[record](b)
		_, newest := boltfile.Newest[record](b, 1)
		for _, got := range []error{one, all, newest} {
			if !errors.Is(got, home.ErrCorrupt) {
				t.Errorf("error %v", got)
			}
		}
		return err
	})
}

func TestAHistoryKeepsItsNewestRecords(t *testing.T) {
	inBucket(t, func(b *bbolt.Bucket) error {
		if all, err := boltfile.Newest[record](b, 9); err != nil || all == nil || len(all) != 0 {
			t.Errorf("an empty history: %v, %v", all, err)
		}
		for _, name := range []string{"1", "2", "3", "4", "5"} {
			if err := boltfile.Append(b, record{name}, 3); err != nil {
				return err
			}
		}
		for limit, want := range map[int][]record{2: {{"5"}, {"4"}}, 9: {{"5"}, {"4"}, {"3"}}} {
			if all, err := boltfile.Newest[record](b, limit); err != nil || !slices.Equal(all, want) {
				t.Errorf("the newest %d: %v, %v", limit, all, err)
			}
		}
		return nil
	})
}

func TestNumbersAreOrderedAsKeys(t *testing.T) {
	numbers := []uint64{0, 1, 255, 256, 1 << 40, 1<<64 - 1}
	for i, n := range numbers {
		if got := boltfile.Number(boltfile.Key(n)); got != n {
			t.Errorf("%d became %d", n, got)
		}
		if i > 0 && slices.Compare(boltfile.Key(numbers[i-1]), boltfile.Key(n)) >= 0 {
			t.Errorf("the key of %d does not come after that of %d", n, numbers[i-1])
		}
	}
	if boltfile.Number([]byte{1}) != 0 || boltfile.Number(nil) != 0 {
		t.Error("a value that is no number has one")
	}
}
