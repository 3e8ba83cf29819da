package localstore

import (
	"bytes"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// cases state, for each migration, what is in a file of the format before it, and what must be true after it. A
// migration without a case fails the test, and so does a case that is changed after a release: files of that format
// are out there.
var cases = []struct {
	before func(*bbolt.Tx) error
	after  func(*testing.T, *bbolt.Tx)
}{
	{
		before: func(*bbolt.Tx) error { return nil },
		after: func(t *testing.T, tx *bbolt.Tx) {
			want := map[string][]string{
				"hub": nil, "accounts": nil, "vault": nil, "devices": nil, "bindings": nil, "intents": nil, "history": nil,
				"outbox": {"queue", "index"}, "inbox": {"queue", "index"},
			}
			var names []string
			err := tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
				names = append(names, string(name))
				for _, sub := range want[string(name)] {
					if b.Bucket([]byte(sub)) == nil {
						t.Errorf("%s has no bucket %s", name, sub)
					}
				}
				return nil
			})
			if err != nil || !slices.Equal(names, slices.Sorted(maps.Keys(want))) {
				t.Errorf("buckets %q, %v", names, err)
			}
		},
	},
	{
		before: func(*bbolt.Tx) error { return nil },
		after: func(t *testing.T, tx *bbolt.Tx) {
			if tx.Bucket([]byte("budget")) == nil {
				t.Error("no bucket budget")
			}
		},
	},
	{
		before: func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("inbox")).Bucket([]byte("queue")).Put([]byte{1}, []byte("a message"))
		},
		after: func(t *testing.T, tx *bbolt.Tx) {
			if tx.Bucket([]byte("inbox")) != nil || tx.Bucket([]byte("leftout")) == nil {
				t.Error("the inbox is there, or no bucket leftout")
			}
		},
	},
	{
		before: func(tx *bbolt.Tx) error {
			put := func(bucket, key, value string) error {
				return tx.Bucket([]byte(bucket)).Put([]byte(key), []byte(value))
			}
			var errs []error
			for id, protocol := range map[string]string{"a": "iot", "b": "klap2", "c": "tapocam", "d": "tapocam"} {
				rank := map[string]string{"c": `,"ProofRank":2`, "d": `,"ProofRank":3`}[id]
				errs = append(errs, put("bindings", id, `{"Device":"`+id+`"`+rank+`}`),
					put("devices", id, `{"ID":"`+id+`","Protocol":"`+protocol+`","Addr":"192.0.2.7:80"}`))
			}
			return errors.Join(append(errs, put("accounts", "x", `{"ID":"x","CleartextBind":true}`))...)
		},
		after: func(t *testing.T, tx *bbolt.Tx) {
			all, err := bindings.all(tx)
			if err != nil || len(all) != 4 {
				t.Fatalf("%d bindings, %v", len(all), err)
			}
			for _, b := range all {
				want := map[home.DeviceID]home.Protocol{"a": home.IOT, "c": home.TapoCam}[b.Device]
				c := b.Consents.Cleartext
				if c.Protocol != want || want != "" && c.Addr.String() != "192.0.2.7" || !b.Consents.FreshUntil.IsZero() {
					t.Errorf("%s has the consents %+v", b.Device, b.Consents)
				}
			}
		},
	},
	{
		before: func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("bindings")).Put([]byte("a"), []byte(
				`{"Device":"a","CloudEpoch":0,"Verdict":{"State":"stale","Detail":""},"Tries":2,"Next":"0001-01-01T00:00:00Z"}`,
			))
		},
		after: func(t *testing.T, tx *bbolt.Tx) {
			b, _, err := bindings.get(tx, "a")
			raw := tx.Bucket([]byte("bindings")).Get([]byte("a"))
			if err != nil || b.Tries != 2 || b.Verdict.State != home.Stale || bytes.Contains(raw, []byte("Next")) {
				t.Errorf("%+v, %v, from %s", b, err, raw)
			}
		},
	},
	{
		before: func(tx *bbolt.Tx) error {
			put := func(b *bbolt.Bucket, key, value string) error { return b.Put([]byte(key), []byte(value)) }
			return errors.Join(
				put(tx.Bucket(bHub), "boot", "\x00\x00\x00\x00\x00\x00\x00\x07"), put(tx.Bucket(bHub), "terminal", "NAME"),
				put(tx.Bucket(bHistory), "\x01", `{"what":"tested"}`), put(tx.Bucket(bHistory), "\x02", `{damaged`),
				put(queue.bucket(tx), "\x01", `{"Kind":"ack"}`),
			)
		},
		after: func(t *testing.T, tx *bbolt.Tx) {
			boot, _, err := boltfile.Get[uint64](tx.Bucket(bHub), bootName)
			name, _, nerr := boltfile.Get[string](tx.Bucket(bHub), terminalName)
			if err != nil || nerr != nil || boot != 7 || name != "NAME" || tx.Bucket(bAside) == nil {
				t.Errorf("boot %d, terminal %q, %v, %v", boot, name, err, nerr)
			}
			for key, b := range map[string]*bbolt.Bucket{"\x01": tx.Bucket(bHistory), "\x02": tx.Bucket(bHistory)} {
				if raw := b.Get([]byte(key)); raw[len(raw)-5] != 0xFF {
					t.Errorf("%q has no checksum: %q", key, raw)
				}
			}
			if e, ok, err := queue.get(tx, "\x01"); err != nil || !ok || e.Kind != home.ErrandAck {
				t.Errorf("errand %+v, %v", e, err)
			}
		},
	},
}

func TestMigrations(t *testing.T) {
	if len(cases) != len(migrations) {
		t.Fatalf("%d migrations, and cases for %d: each needs its own", len(migrations), len(cases))
	}
	for i, c := range cases {
		db, err := bbolt.Open(filepath.Join(t.TempDir(), "a.db"), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			for _, m := range migrations[:i] {
				if err := m(tx); err != nil {
					return err
				}
			}
			return c.before(tx)
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Update(migrations[i]); err != nil {
			t.Fatalf("migration %d: %v", i+1, err)
		}
		_ = db.View(func(tx *bbolt.Tx) error { c.after(t, tx); return nil })
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
