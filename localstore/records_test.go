package localstore

import (
	"encoding/json"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// populate sets every field to a value of its own.
func populate(v reflect.Value, n *int) {
	*n++
	switch at := v.Addr().Interface().(type) {
	case *time.Time:
		*at = time.Date(2026, 1, 1, 0, 0, *n, 0, time.UTC)
		return
	case *netip.AddrPort:
		*at = netip.MustParseAddrPort("127.0.0.1:9999")
		return
	case *netip.Addr:
		*at = netip.MustParseAddr("127.0.0.1")
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			populate(v.Field(i), n)
		}
	case reflect.String:
		v.SetString(strings.Repeat("x", *n))
	case reflect.Int:
		v.SetInt(int64(*n))
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		populate(v.Index(0), n)
	default:
		panic("a record with a field of kind " + v.Kind().String())
	}
}

// throughFile writes a record to a bucket, and returns it as it is read there.
func throughFile[R any](t *testing.T, r R) (got R) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "record.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("records"))
		if err != nil {
			return err
		}
		if err := boltfile.Put(b, []byte("key"), r); err != nil {
			return err
		}
		got, _, err = boltfile.Get[R](b, []byte("key"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// kept checks that a value survives the way to the disk and back, every field of it but those named.
func kept[H any, R interface{ home() H }](t *testing.T, toDisk func(H) R, but ...string) {
	t.Helper()
	var v H
	n := 0
	populate(reflect.ValueOf(&v).Elem(), &n)
	record := toDisk(v)
	got := throughFile(t, record)
	if _, isMessage := any(&record).(boltfile.FieldRecord); isMessage { // formats up to 5 had it as JSON
		text, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		older, err := boltfile.Decode[R](nil, text)
		if err != nil || !reflect.DeepEqual(older, got) {
			t.Errorf("%T is read from JSON as %+v, %v", record, older, err)
		}
	}
	for _, name := range but {
		f := reflect.ValueOf(&v).Elem().FieldByName(name)
		f.Set(reflect.Zero(f.Type()))
	}
	if got := got.home(); !reflect.DeepEqual(got, v) {
		t.Errorf("%T:\n%+v was kept as\n%+v", v, v, got)
	}
	for i := range reflect.TypeFor[R]().NumField() {
		if f := reflect.TypeFor[R]().Field(i); f.Tag.Get("json") == "" {
			t.Errorf("%T.%s has no tag: a new name of the field would change the file", record, f.Name)
		}
	}
}

func TestRecordsKeepEveryField(t *testing.T) {
	kept(t, accountToDisk)
	kept(t, bindingToDisk)
	// In memory only: the words of a device that no part of the program reads, and addresses that are reachable now or not
	// at all.
	kept(t, deviceToDisk, "Extra", "AlsoAt")
	kept(t, intentToDisk)
	kept(t, errandToDisk)
	kept(t, eventToDisk)
	for _, v := range []any{verdictRecord{}, credentialRecord{}, sessionRecord{}, leftOutRecord{}} {
		for i := range reflect.TypeOf(v).NumField() {
			if f := reflect.TypeOf(v).Field(i); f.Tag.Get("json") == "" {
				t.Errorf("%T.%s has no tag", v, f.Name)
			}
		}
	}
}
