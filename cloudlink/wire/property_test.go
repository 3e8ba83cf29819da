package wire_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

var (
	anyName = rapid.StringMatching(`[a-z0-9-]{1,58}`)
	anyText = rapid.Map(
		rapid.StringN(0, 60, 256), func(s string) string { return strings.ToValidUTF8(dropControls(s), "") },
	)
	anyBytes = rapid.SliceOfN(rapid.Byte(), 1, 70)
)

// noticeSigner signs the notices of messages that are drawn.
var noticeSigner, _ = wire.NewIdentity(wire.RoleService, repeated(5), repeated(6))

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
			if slices.Contains([]string{"ID", "Device", "Account", "Pairing", "Hub", "item"}, field) {
				gen = anyName
			}
		}
		v.SetString(gen.Draw(t, field))
	case reflect.Uint8:
		v.SetUint(uint64(rapid.Uint8().Draw(t, field)))
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
		if typ == reflect.TypeFor[wire.Notice]() {
			return reflect.ValueOf(noticeSigner.SignNotice(wire.Notice{
				Account: anyName.Draw(t, "notice"), Epoch: rapid.Uint64().Draw(t, "epoch"),
			}))
		}
		for i := range typ.NumField() {
			v.Field(i).Set(draw(t, typ.Field(i).Type, typ.Field(i).Name, wellFormed))
		}
	default:
		t.Fatalf("no value of %s", typ)
	}
	return v
}

// asJSON returns what a message holds, without its signature.
func asJSON(t interface{ Fatal(...any) }, m *wire.Message) string {
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestNoTwoListsOfPartsHaveOneEncoding(t *testing.T) {
	parts := rapid.SliceOfN(rapid.StringN(0, 5, 300), 0, 6)
	rapid.Check(t, func(t *rapid.T) {
		want := parts.Draw(t, "parts")
		b := wire.Encode(want...)
		var got []string
		for len(b) > 0 {
			n := binary.BigEndian.Uint32(b)
			got, b = append(got, string(b[4:4+n])), b[4+n:]
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q was encoded as %q", want, got)
		}
	})
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
					To: svc.Name, Seq: rapid.Uint64().Draw(t, "seq"), At: rapid.Int64().Draw(t, "at"),
					Exp: rapid.Int64().Draw(t, "exp"), Body: body,
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
				if asJSON(t, got) != asJSON(t, m) {
					t.Fatalf("%s became %+v", raw, got)
				}
				if err := got.Verify(hub.Keys, svc.Name); err != nil {
					t.Fatal(err)
				}
				for _, k := range []wire.Keys{
					{}, {Seal: hub.Keys.Seal}, {Sign: hub.Keys.Sign[:5], Seal: hub.Keys.Seal}, other.Keys,
				} {
					if err := got.Verify(k, svc.Name); !errors.Is(err, home.ErrForged) {
						t.Fatalf("under other keys: %v", err)
					}
				}
			})
		})
	}
}

func TestEveryFlippedBitOfASignedMessageIsDetected(t *testing.T) {
	hub, svc := identity(t, wire.RoleHub), identity(t, wire.RoleService)
	want := &wire.Message{To: svc.Name, Seq: 9, At: 5, Exp: 6, Re: "re-1", Body: &wire.Bind{
		Account: "acc-1", Secrets: []byte("sealed"),
		Devices: []wire.Device{{ID: "mac-1", Kind: "plug", Protocol: "iot", Name: "lamp"}},
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
			t.Fatalf("bit %d of byte %d: %s is taken as %+v", bit, i, bad, m)
		}
	}
}

func TestTopicsAndTheirPartsAreInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := anyName.Draw(t, "name")
		for topic, want := range map[string]wire.Topic{
			wire.NoticeTopic(name): {Account: name, Leaf: "notice"}, wire.StatusTopic(name): {Name: name, Leaf: "status"},
			wire.StateTopic("acc", name): {Account: "acc", Name: name, Leaf: "state"},
			wire.InboxTopic(name):        {Name: name, Leaf: "inbox"},
			wire.OutboxTopic(name):       {Name: name, Leaf: "outbox"},
		} {
			if got, ok := wire.ParseTopic(topic); !ok || got != want {
				t.Fatalf("%s: %+v, %t", topic, got, ok)
			}
		}
	})
}

// The standard library is the reference.
func TestProofsAreHMACAndKeysAreHKDF(t *testing.T) {
	some := rapid.SliceOfN(rapid.Byte(), 0, 200)
	rapid.Check(t, func(t *rapid.T) {
		key, secret, part := some.Draw(t, "key"), some.Draw(t, "secret"), string(some.Draw(t, "part"))
		m := hmac.New(sha256.New, key)
		m.Write(wire.Encode(part, "b"))
		if got, want := wire.MAC(key, part, "b"), m.Sum(nil); !bytes.Equal(got, want) {
			t.Fatalf("HMAC of %q is %x, want %x", part, got, want)
		}
		want, err := hkdf.Key(sha256.New, secret, key, string(wire.Encode(part, "b")), 32)
		if got := wire.Derive(secret, key, part, "b"); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("HKDF of %q is %x, want %x, %v", part, got, want, err)
		}
	})
}
