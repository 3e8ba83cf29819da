package wire_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
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
	Key       keyVector        `json:"key"`
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
	Name  string  `json:"name"`
	Parts []hexed `json:"parts"`
	Bytes hexed   `json:"bytes"`
}

type noticeVector struct {
	JWS  string `json:"jws"`
	Hash hexed  `json:"hash"`
}

type messageVector struct {
	Name string `json:"name"`
	JWS  string `json:"jws"`
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
	Request       string `json:"request"`
	Epoch         string `json:"epoch"`
	MemberNonce   hexed  `json:"member_nonce"`
	ServiceNonce  hexed  `json:"service_nonce"`
	EpochSecret   hexed  `json:"epoch_secret"`
	BindingSecret hexed  `json:"binding_secret"`
	Service       hexed  `json:"service"`
	Proof         hexed  `json:"proof"`
}

type keyVector struct {
	EpochSecret hexed  `json:"epoch_secret"`
	Challenge   hexed  `json:"challenge"`
	Account     string `json:"account"`
	Member      string `json:"member"`
	Epoch       string `json:"epoch"`
	Seal        hexed  `json:"seal"`
	Message     string `json:"message"`
	Proof       hexed  `json:"proof"`
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

// vectors returns everything that can be computed from the seeds, and what is sealed.
func (c *cast) vectors(t testing.TB) vectors {
	t.Helper()
	v := vectors{About: []string{
		"Vectors for ../../PROTOCOL.md. Bytes are hexadecimal, 64-bit numbers are decimal strings, " +
			"json is text as it is sent.",
		"Made by go test ./cloudlink/wire -update, from fixed seeds. What is sealed is random and was made once.",
	}}
	for i, m := range []*wire.Identity{c.hub, c.device, c.service} {
		v.Members = append(v.Members, memberVector{
			[]string{"hub", "rk", "svc"}[i], repeated(byte(2*i + 1)), repeated(byte(2*i + 2)), m.Keys.Sign, m.Keys.Seal, m.Name,
		})
	}
	for _, e := range []struct {
		name  string
		parts []string
	}{
		{"nothing", nil},
		{"one empty part", []string{""}},
		{"text in UTF-8", []string{"Küche 灯 😀"}},
		{"bytes", []string{"\x00\xff\x80"}},
		{"two parts are not one", []string{"ab", "c"}},
		{"nor cut elsewhere", []string{"a", "bc"}},
	} {
		enc := encodingVector{Name: e.name, Parts: []hexed{}, Bytes: wire.Encode(e.parts...)}
		for _, p := range e.parts {
			enc.Parts = append(enc.Parts, hexed(p))
		}
		v.Encodings = append(v.Encodings, enc)
	}
	last := c.service.SignNotice(wire.Notice{
		Account: c.account, Epoch: 1<<64 - 1, At: c.at, Cause: "changed", Via: "tpcamera", Prev: c.second.Hash(),
	})
	for _, n := range []wire.Notice{c.first, c.second, last} {
		v.Notices = append(v.Notices, noticeVector{string(n.JWS()), n.Hash()})
	}
	for _, e := range c.examples() {
		raw, err := e.from.Sign(&e.m)
		if err != nil {
			t.Fatal(err)
		}
		v.Messages = append(v.Messages, messageVector{e.name, string(raw)})
	}
	for _, name := range []string{
		"grant to a hub", "grant to a device", "secrets of bind", "secret of enrol", "challenge", "join", "relay", "relayed",
	} {
		s := c.sealed[name]
		v.Sealed = append(v.Sealed, sealedVector{name, s.To.Name, s.Info, s.Plain, s.Sealed})
	}
	for _, s := range []wire.Attempt{
		{
			Account: c.account, Member: c.hub.Name, Device: c.plug, Request: id("sign in"), Epoch: 2,
			MemberNonce: c.memberNonce, ServiceNonce: c.serviceNonce,
			EpochSecret: c.epochSecret, BindingSecret: c.plugSecret,
		},
		{
			Account: c.account, Member: c.device.Name, Device: c.device.Name, Request: id("sign in"), Epoch: 1<<64 - 1,
			MemberNonce: c.memberNonce, ServiceNonce: c.serviceNonce,
			EpochSecret: c.epochSecret, BindingSecret: c.deviceSecret,
		},
	} {
		service, member := s.Proofs()
		v.SignIns = append(v.SignIns, signInVector{
			s.Account, s.Member, s.Device, s.Request, strconv.FormatUint(s.Epoch, 10), s.MemberNonce, s.ServiceNonce,
			[]byte(s.EpochSecret.Reveal()), s.BindingSecret.Reveal(), service, member,
		})
	}
	challenge := c.sealed["challenge"].Plain
	v.Key = keyVector{
		repeated(0x11), challenge, c.account, c.hub.Name, "2", c.next.Public, id("ack"),
		c.keyChange().Proof(),
	}
	secret := home.NewSecret(c.pairSecret)
	v.Pairing = pairingVector{
		c.pairing, c.pairSecret, c.hub.Name, c.service.Name,
		wire.PairingProof(secret, wire.RoleHub, c.pairing, c.hub.Name, c.hub.Keys),
		wire.PairingProof(secret, wire.RoleService, c.pairing, c.hub.Name, c.service.Keys),
	}
	v.Held = heldVector{
		repeated(0x11), c.account, c.device.Name, "2", c.probeNonce,
		wire.HeldProof(c.epochSecret, c.account, c.device.Name, 2, c.probeNonce),
	}
	v.Login = loginVector{c.hub.Name, c.hub.Login().Reveal()}
	return v
}

func TestVectorsMatchTheCode(t *testing.T) {
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
		t.Error("vectors.json differs from the code: a change of the format, or go test ./cloudlink/wire -update is due")
	}
}
