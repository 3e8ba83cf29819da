package wire_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

var (
	anyName  = rapid.StringMatching(`[a-z0-9-]{1,58}`)
	anyText  = rapid.Map(rapid.StringN(0, 60, 256), func(s string) string { return strings.ToValidUTF8(dropControls(s), "") })
	anyBytes = rapid.SliceOfN(rapid.Byte(), 1, 70)
)

func dropControls(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// draw returns any value of a type. A well-formed one passes the checks of its message; another may hold any string.
func draw(t *rapid.T, typ reflect.Type, field string, wellFormed bool) reflect.Value {
	v := reflect.New(typ).Elem()
	switch typ.Kind() {
	case reflect.String:
		gen := rapid.Map(anyBytes, func(b []byte) string { return string(b) })
		if wellFormed {
			gen = anyText
			if field == "ID" || field == "Device" || field == "Account" || field == "Pairing" || field == "item" {
				gen = anyName
			}
		}
		v.SetString(gen.Draw(t, field))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, field))
	case reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, field))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, field))
	case reflect.Slice:
		if typ.Elem().Kind() == reflect.Uint8 {
			if rapid.Bool().Draw(t, field+"?") {
				v.SetBytes(anyBytes.Draw(t, field))
			}
			return v
		}
		for i := range rapid.IntRange(0, 4).Draw(t, field+"#") {
			item := draw(t, typ.Elem(), "item", wellFormed)
			if wellFormed { // each device once
				name := item
				if item.Kind() == reflect.Struct {
					name = item.FieldByName("ID")
				}
				name.SetString(fmt.Sprintf("%s-%d", name.String(), i))
			}
			v = reflect.Append(v, item)
		}
	case reflect.Struct:
		for i := range typ.NumField() {
			v.Field(i).Set(draw(t, typ.Field(i).Type, typ.Field(i).Name, wellFormed))
		}
	default:
		t.Fatalf("no value of %s", typ)
	}
	return v
}

// decode undoes Encode for one value and returns the rest: that it can be undone says that no two values share an encoding.
func decode(t *rapid.T, typ reflect.Type, b []byte) (reflect.Value, []byte) {
	v := reflect.New(typ).Elem()
	counted := func() []byte {
		n := binary.BigEndian.Uint32(b)
		out := b[4 : 4+n]
		b = b[4+n:]
		return out
	}
	switch typ.Kind() {
	case reflect.String:
		v.SetString(string(counted()))
	case reflect.Uint64:
		v.SetUint(binary.BigEndian.Uint64(b))
		b = b[8:]
	case reflect.Int64:
		v.SetInt(int64(binary.BigEndian.Uint64(b)))
		b = b[8:]
	case reflect.Bool:
		v.SetBool(b[0] == 1)
		b = b[1:]
	case reflect.Slice:
		if typ.Elem().Kind() == reflect.Uint8 {
			if c := counted(); len(c) > 0 {
				v.SetBytes(c)
			}
			break
		}
		n := binary.BigEndian.Uint32(b)
		b = b[4:]
		for range n {
			var item reflect.Value
			item, b = decode(t, typ.Elem(), b)
			v = reflect.Append(v, item)
		}
	case reflect.Struct:
		for i := range typ.NumField() {
			if typ.Field(i).Name == "Sig" {
				continue
			}
			var f reflect.Value
			f, b = decode(t, typ.Field(i).Type, b)
			v.Field(i).Set(f)
		}
	default:
		t.Fatalf("no value of %s", typ)
	}
	return v, b
}

func TestNoTwoValuesOfATypeHaveOneEncoding(t *testing.T) {
	type deep struct {
		Names []string
		Lists [][]uint64
		Flags []bool
		Inner struct{ At int64 }
		Raw   [][]byte
	}
	types := bodies(t)
	types["deep"], types["signed notice"] = reflect.TypeFor[deep](), reflect.TypeFor[wire.Notice]()
	for name, typ := range types {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				label := rapid.String().Draw(t, "label")
				v := draw(t, typ, "", false)
				enc := wire.Encode(label, v.Interface())
				gotLabel, rest := decode(t, reflect.TypeFor[string](), enc)
				got, rest := decode(t, typ, rest)
				if gotLabel.String() != label || len(rest) != 0 || !reflect.DeepEqual(withoutSigs(got), withoutSigs(v)) {
					t.Fatalf("%#v was encoded as %x, which is %#v and %x", v, enc, got, rest)
				}
			})
		})
	}
}

// withoutSigs clears what is not encoded, and makes of empty lists what decode makes of them.
func withoutSigs(v reflect.Value) any {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	clearSigs(c)
	return c.Interface()
}

func clearSigs(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "Sig" {
				v.Field(i).SetZero()
			} else {
				clearSigs(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.SetZero()
		}
	}
}

func TestEveryMessageSurvivesTheWire(t *testing.T) {
	hub, other, svc := identity(t, wire.RoleHub), identity(t, wire.RoleHub), identity(t, wire.RoleService)
	for name, typ := range bodies(t) {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				body := draw(t, typ, "", true).Addr().Interface().(wire.Body)
				if p, ok := body.(*wire.Probe); ok {
					p.Nonce = rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "nonce")
				}
				m := &wire.Message{
					To: svc.Name, Seq: rapid.Uint64().Draw(t, "seq"), At: rapid.Int64().Draw(t, "at"), Exp: rapid.Int64().Draw(t, "exp"), Body: body,
				}
				if rapid.Bool().Draw(t, "answers") {
					m.Re = anyName.Draw(t, "re")
				}
				raw, err := hub.Sign(m)
				if err != nil {
					t.Fatal(err)
				}
				got, err := wire.ParseMessage(raw)
				if err != nil {
					t.Fatalf("%s: %v", raw, err)
				}
				if !reflect.DeepEqual(got, m) {
					t.Fatalf("%s became %+v", raw, got)
				}
				if err := got.Verify(hub.Keys, svc.Name); err != nil {
					t.Fatal(err)
				}
				for _, k := range []wire.Keys{{}, {Sign: hub.Keys.Sign}, {Sign: hub.Keys.Sign[:5], Seal: hub.Keys.Seal[:1]}, other.Keys} {
					if err := got.Verify(k, svc.Name); !errors.Is(err, home.ErrForged) {
						t.Fatalf("under other keys: %v", err)
					}
				}
			})
		})
	}
}

func TestEveryFlippedBitOfASignedMessageIsFoundOut(t *testing.T) {
	hub, svc := identity(t, wire.RoleHub), identity(t, wire.RoleService)
	want := &wire.Message{To: svc.Name, Seq: 9, At: 5, Exp: 6, Re: "re-1", Body: &wire.Bind{
		Account: "acc-1", Secrets: []byte("sealed"), Devices: []wire.Device{{ID: "mac-1", Kind: "plug", Protocol: "iot", Name: "lamp"}},
	}}
	raw, err := hub.Sign(want)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			bad := append([]byte{}, raw...)
			bad[i] ^= 1 << bit
			m, err := wire.ParseMessage(bad)
			if err != nil || m.Verify(hub.Keys, svc.Name) != nil {
				continue
			}
			// Letter case of a JSON name, or the unused bits at the end of base64, may change; what the message says may not.
			if m.Sig = want.Sig; !reflect.DeepEqual(m, want) {
				t.Fatalf("bit %d of byte %d: %s is taken as %+v", bit, i, bad, m)
			}
		}
	}
}

func TestTopicsAndTheirPartsAreInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := anyName.Draw(t, "name")
		for topic, want := range map[string]wire.Topic{
			wire.NoticeTopic(name): {Account: name, Leaf: "notice"}, wire.StatusTopic(name): {Name: name, Leaf: "status"},
			wire.StateTopic("acc", name): {Account: "acc", Name: name, Leaf: "state"}, wire.InboxTopic(name): {Name: name, Leaf: "inbox"},
			wire.OutboxTopic(name): {Name: name, Leaf: "outbox"},
		} {
			if got, ok := wire.ParseTopic(topic); !ok || got != want {
				t.Fatalf("%s: %+v, %t", topic, got, ok)
			}
		}
	})
}
