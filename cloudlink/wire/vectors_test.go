package wire_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"strconv"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// vectors is testdata/vectors.json, for those who write the protocol in another language.
type vectors struct {
	About     []string         `json:"about"`
	Members   []memberVector   `json:"members"`
	Encodings []encodingVector `json:"encodings"`
	Notices   []noticeVector   `json:"notices"`
	Messages  []messageVector  `json:"messages"`
	Sealed    []sealedVector   `json:"sealed"`
	SignIns   []signInVector   `json:"sign_ins"`
	Pairing   pairingVector    `json:"pairing"`
	Held      heldVector       `json:"held"`
	Login     loginVector      `json:"login"`
}

type memberVector struct {
	Role     string `json:"role"`
	SignSeed hexed  `json:"sign_seed"`
	SealSeed hexed  `json:"seal_seed"`
	Sign     hexed  `json:"sign"`
	Seal     hexed  `json:"seal"`
	Name     string `json:"name"`
}

type encodingVector struct {
	Name   string  `json:"name"`
	Label  string  `json:"label"`
	Values []typed `json:"values"`
	Bytes  hexed   `json:"bytes"`
}

// typed is a value with its type: a string, a number in decimal, a bool, bytes in hexadecimal, or items.
type typed struct {
	Type  string  `json:"type"`
	Value string  `json:"value"`
	Items []typed `json:"items,omitempty"`
}

type noticeVector struct {
	JSON string `json:"json"`
	Hash hexed  `json:"hash"`
}

type messageVector struct {
	Name string `json:"name"`
	JSON string `json:"json"`
}

type sealedVector struct {
	Name   string `json:"name"`
	To     string `json:"to"`
	Info   hexed  `json:"info"`
	Plain  hexed  `json:"plain"`
	Sealed hexed  `json:"sealed"`
}

type signInVector struct {
	Account       string `json:"account"`
	Member        string `json:"member"`
	Device        string `json:"device"`
	Epoch         string `json:"epoch"`
	MemberNonce   hexed  `json:"member_nonce"`
	ServiceNonce  hexed  `json:"service_nonce"`
	EpochSecret   hexed  `json:"epoch_secret"`
	BindingSecret hexed  `json:"binding_secret"`
	Service       hexed  `json:"service"`
	Proof         hexed  `json:"proof"`
}

type pairingVector struct {
	Pairing string `json:"pairing"`
	Secret  string `json:"secret"`
	Hub     string `json:"hub"`
	Service string `json:"service"`
	ByHub   hexed  `json:"by_hub"`
	BySvc   hexed  `json:"by_service"`
}

type heldVector struct {
	Secret  hexed  `json:"secret"`
	Account string `json:"account"`
	Device  string `json:"device"`
	Epoch   string `json:"epoch"`
	Nonce   hexed  `json:"nonce"`
	Proof   hexed  `json:"proof"`
}

type loginVector struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// hexed is bytes in hexadecimal.
type hexed []byte

func (h hexed) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexed) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// describe tells a value's types, as Encode finds them by reflection.
func describe(v reflect.Value) typed {
	d := typed{Type: v.Kind().String()}
	switch v.Kind() {
	case reflect.String:
		d.Value = v.String()
	case reflect.Uint64:
		d.Value = strconv.FormatUint(v.Uint(), 10)
	case reflect.Int64:
		d.Value = strconv.FormatInt(v.Int(), 10)
	case reflect.Bool:
		d.Value = strconv.FormatBool(v.Bool())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return typed{Type: "bytes", Value: hex.EncodeToString(v.Bytes())}
		}
		d.Type = "list"
		for i := range v.Len() {
			d.Items = append(d.Items, describe(v.Index(i)))
		}
	case reflect.Struct:
		for f, field := range v.Fields() {
			if f.Name != "Sig" {
				d.Items = append(d.Items, describe(field))
			}
		}
	}
	return d
}

// vectors returns everything that can be computed from the seeds, and what is sealed.
func (c *cast) vectors(t testing.TB) vectors {
	t.Helper()
	v := vectors{About: []string{
		"Vectors for ../../PROTOCOL.md. Bytes are hexadecimal, 64-bit numbers are decimal strings, json is text as it is sent.",
		"Made by go test ./cloudlink/wire -update, from fixed seeds. What is sealed is random and was made once.",
	}}
	for i, m := range []*wire.Identity{c.hub, c.device, c.service} {
		v.Members = append(v.Members, memberVector{
			[]string{"hub", "rk", "svc"}[i], repeated(byte(2*i + 1)), repeated(byte(2*i + 2)), m.Keys.Sign, m.Keys.Seal, m.Name,
		})
	}
	type pair struct {
		Flag bool
		At   int64
		Sig  string
	}
	type tree struct {
		Names []string
		Pairs []pair
		Lists [][]uint64
		Inner pair
	}
	for _, e := range []struct {
		name   string
		values []any
	}{
		{"nothing but the label", nil},
		{"empty string and empty bytes", []any{"", []byte{}}},
		{"text in UTF-8", []any{"Küche 灯 😀"}},
		{"numbers", []any{uint64(0), uint64(1<<64 - 1), int64(-1), int64(1<<63 - 1), int64(-1 << 63)}},
		{"bools", []any{true, false}},
		{"bytes", []any{[]byte{0, 0xff, 0x80}}},
		{"two strings are not one", []any{"ab", "c"}},
		{"nor cut elsewhere", []any{"a", "bc"}},
		{"empty lists", []any{[]string{}, []uint64{}, [][]uint64{}}},
		{"nested, and Sig is left out", []any{tree{
			Names: []string{"", "a"}, Pairs: []pair{{true, 1, "out"}, {false, -2, ""}}, Lists: [][]uint64{{}, {1<<64 - 1, 0}}, Inner: pair{true, 0, "out"},
		}, uint64(7)}},
	} {
		enc := encodingVector{Name: e.name, Label: "rekeyd/v1/vector", Values: []typed{}, Bytes: wire.Encode("rekeyd/v1/vector", e.values...)}
		for _, x := range e.values {
			enc.Values = append(enc.Values, describe(reflect.ValueOf(x)))
		}
		v.Encodings = append(v.Encodings, enc)
	}
	last := c.service.SignNotice(wire.Notice{
		Account: c.account, Epoch: 1<<64 - 1, At: c.at, Issued: c.at, Cause: "changed", Via: "tpcamera", Prev: c.second.Hash(),
	})
	for _, n := range []wire.Notice{c.first, c.second, last} {
		v.Notices = append(v.Notices, noticeVector{string(n.JSON()), n.Hash()})
	}
	for _, e := range c.examples() {
		raw, err := e.from.Sign(&e.m)
		if err != nil {
			t.Fatal(err)
		}
		v.Messages = append(v.Messages, messageVector{e.name, string(raw)})
	}
	for _, name := range []string{"grant to a hub", "grant to a device", "secrets of bind", "secret of enrol", "join", "relay", "relayed"} {
		s := c.sealed[name]
		v.Sealed = append(v.Sealed, sealedVector{name, s.To.Name, s.Info, s.Plain, s.Sealed})
	}
	for _, s := range []wire.SignIn{
		{
			Account: c.account, Member: c.hub.Name, Device: c.plug, Epoch: 2, MemberNonce: c.memberNonce, ServiceNonce: c.serviceNonce,
			EpochSecret: c.epochSecret, BindingSecret: c.plugSecret,
		},
		{
			Account: c.account, Member: c.device.Name, Device: c.device.Name, Epoch: 1<<64 - 1, MemberNonce: c.memberNonce, ServiceNonce: c.serviceNonce,
			EpochSecret: c.epochSecret, BindingSecret: c.deviceSecret,
		},
	} {
		service, member := s.Proofs()
		v.SignIns = append(v.SignIns, signInVector{
			s.Account, s.Member, s.Device, strconv.FormatUint(s.Epoch, 10), s.MemberNonce, s.ServiceNonce,
			[]byte(s.EpochSecret.Reveal()), []byte(s.BindingSecret.Reveal()), service, member,
		})
	}
	secret := home.NewSecret(c.pairSecret)
	v.Pairing = pairingVector{
		c.pairing, c.pairSecret, c.hub.Name, c.service.Name,
		wire.PairingProof(secret, wire.RoleHub, c.pairing, c.hub.Name, c.hub.Keys),
		wire.PairingProof(secret, wire.RoleService, c.pairing, c.hub.Name, c.service.Keys),
	}
	v.Held = heldVector{
		repeated(0x11), c.account, c.device.Name, "2", c.probeNonce, wire.HeldProof(c.epochSecret, c.account, c.device.Name, 2, c.probeNonce),
	}
	v.Login = loginVector{c.hub.Name, c.hub.Login().Reveal()}
	return v
}

func TestVectorsAreWhatTheCodeSays(t *testing.T) {
	v := newCast(t).vectors(t)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/vectors.json", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b.Bytes()) {
		t.Error("vectors.json is not what the code says: a change of the format, or go test ./cloudlink/wire -update is due")
	}
}
