package localstore

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
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

// kept checks that a value survives the way to the disk and back, every field of it but those named.
func kept[H any, R interface{ home() H }](t *testing.T, toDisk func(H) R, but ...string) {
	t.Helper()
	var v H
	n := 0
	populate(reflect.ValueOf(&v).Elem(), &n)
	raw, err := json.Marshal(toDisk(v))
	if err != nil {
		t.Fatal(err)
	}
	var r R
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	for _, name := range but {
		f := reflect.ValueOf(&v).Elem().FieldByName(name)
		f.Set(reflect.Zero(f.Type()))
	}
	if got := r.home(); !reflect.DeepEqual(got, v) {
		t.Errorf("%T:\n%+v was kept as\n%+v", v, v, got)
	}
	for i := range reflect.TypeFor[R]().NumField() {
		if f := reflect.TypeFor[R]().Field(i); f.Tag.Get("json") == "" {
			t.Errorf("%T.%s has no tag: a new name of the field would change the file", r, f.Name)
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
