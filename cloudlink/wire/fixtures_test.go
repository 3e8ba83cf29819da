package wire_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// -update writes testdata/vectors.json and the examples of ../PROTOCOL.md anew. Signatures and proofs come out the
// same every time; what is sealed is random, so it is kept as long as it opens.
var update = flag.Bool("update", false, "write testdata/vectors.json and the examples of PROTOCOL.md anew")

// repeated is the kind of secret that the examples use: 32 equal bytes.
func repeated(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// cast is who and what the examples and the vectors are about. cloudlink/PROTOCOL.md names the seeds.
type cast struct {
	hub, device, service       *wire.Identity
	account, plug              string
	email, pairing, pairSecret string
	password                   home.Secret
	epochSecret                home.Secret
	plugSecret, deviceSecret   home.Key
	memberNonce, serviceNonce  []byte
	probeNonce                 []byte
	first, second              wire.Notice
	at                         int64
	next                       *wire.Sealer // the hub's next sealing key
	sealed                     map[string]sealing
}

// sealing is one thing that is sealed, with who can open it.
type sealing struct {
	To     *wire.Identity
	Info   []byte
	Plain  []byte
	Sealed []byte
}

func newCast(t testing.TB) *cast {
	t.Helper()
	who := func(r wire.Role, sign, seal byte) *wire.Identity {
		id, err := wire.NewIdentity(r, repeated(sign), repeated(seal))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	c := &cast{
		hub: who(wire.RoleHub, 1, 2), device: who(wire.RoleDevice, 3, 4), service: who(wire.RoleService, 5, 6),
		account: "k3v9d2m7q4xw8z1b", plug: "mac-50c7bf010203",
		email: "anna@example.org", password: home.NewSecret("correct horse 7"),
		pairing: "pairing2222222222222222222", pairSecret: "JBSWY3DPEHPK3PXPJBSWY3DPEH",
		epochSecret: home.SecretBytes(repeated(0x11)),
		plugSecret:  home.KeyBytes(repeated(0x22)), deviceSecret: home.KeyBytes(repeated(0x33)),
		memberNonce: repeated(0x44), serviceNonce: repeated(0x55), probeNonce: repeated(0x66),
		at: 1767225600000, // 2026-01-01
	}
	c.first = c.service.SignNotice(wire.Notice{Account: c.account, Epoch: 1, At: c.at, Cause: "registered", Via: "web"})
	c.second = c.service.SignNotice(wire.Notice{
		Account: c.account, Epoch: 2, At: c.at + 60_000, Cause: "reset", Via: "kasa", Prev: c.first.Hash(),
	})
	var err error
	if c.next, err = wire.NewSealer(repeated(7)); err != nil {
		t.Fatal(err)
	}
	c.sealed = c.seal(t)
	return c
}

// brokers has one with a certificate of its own.
var brokers = []wire.Broker{{URL: "mqtts://192.168.1.2:7355", Fingerprint: repeated(0x77)}}

// joined is what the hub seals to the device at its endpoint.
func (c *cast) joined() wire.Joined {
	return wire.Joined{Account: c.account, Service: c.service.Keys, Brokers: brokers, Notice: c.first}
}

// seal returns everything that is sealed: as vectors.json keeps it, or sealed anew where that does not open or -update
// is given.
func (c *cast) seal(t testing.TB) map[string]sealing {
	t.Helper()
	must := func(v any) []byte {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	type granted struct {
		Secret   []byte `json:"secret"`
		Username string `json:"username,omitempty"`
		Password string `json:"password,omitempty"`
	}
	all := map[string]sealing{
		"grant to a hub": {
			To: c.hub, Info: wire.GrantInfo(c.account, c.hub.Name, 2),
			Plain: must(granted{[]byte(c.epochSecret.Reveal()), c.email, c.password.Reveal()}),
		},
		"grant to a device": {
			To: c.device, Info: wire.GrantInfo(c.account, c.device.Name, 2),
			Plain: must(granted{Secret: []byte(c.epochSecret.Reveal())}),
		},
		"secrets of bind": {
			To: c.service, Info: wire.SecretInfo(c.account, c.hub.Name),
			Plain: append(repeated(0x22), make([]byte, 32)...),
		},
		"secret of enrol": {
			To: c.service, Info: wire.SecretInfo(c.account, c.device.Name), Plain: c.deviceSecret.Reveal(),
		},
		"relay": {
			To: c.hub, Info: wire.RelayInfo(c.account, c.service.Name, c.hub.Name, c.plug, id("relay")),
			Plain: []byte(`{"system":{"set_relay_state":{"state":1}}}`),
		},
		"relayed": {
			To: c.service, Info: wire.RelayInfo(c.account, c.hub.Name, c.service.Name, c.plug, id("relay")),
			Plain: []byte(`{"system":{"set_relay_state":{"err_code":0}}}`),
		},
		"challenge": {
			To: c.hub, Info: wire.ChallengeInfo(c.account, c.hub.Name),
			Plain: c.service.KeyChallenge(c.account, c.hub.Name, c.hub.Keys.Seal),
		},
		"join": {To: c.device, Info: wire.JoinInfo(c.hub.Name, c.device.Name), Plain: must(c.joined())},
	}
	stored := map[string][]byte{}
	for _, s := range readVectors(t).Sealed {
		stored[s.Name] = s.Sealed
	}
	for name, s := range all {
		s.Sealed = stored[name]
		if plain, err := s.To.Open(s.Info, s.Sealed); err != nil || !bytes.Equal(plain, s.Plain) {
			if !*update {
				t.Fatalf("vectors.json: %q does not open to what it should (%v); go test ./cloudlink/wire -update", name, err)
			}
			if s.Sealed, err = s.To.Keys.SealTo(s.Info, s.Plain); err != nil {
				t.Fatal(err)
			}
		}
		all[name] = s
	}
	return all
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	var v vectors
	raw, err := os.ReadFile("testdata/vectors.json")
	if os.IsNotExist(err) && *update {
		return v
	}
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// otherHub is another hub of the account.
const otherHub = "hub-2222222222222222222222222a"

// example is one signed message of cloudlink/PROTOCOL.md.
type example struct {
	name string
	from *wire.Identity
	m    wire.Message
}

// id names the message of an example: what is random in use is fixed here.
func id(name string) string {
	return strings.ReplaceAll(name, " ", "") + strings.Repeat("2", 26-len(strings.ReplaceAll(name, " ", "")))
}

// keyChange is the change of the hub's sealing key.
func (c *cast) keyChange() wire.KeyChange {
	return wire.KeyChange{
		Account: c.account, Member: c.hub.Name, Epoch: 2, Seal: c.next.Public, Message: id("ack"),
		EpochSecret: c.epochSecret, Challenge: c.sealed["challenge"].Plain,
	}
}

// examples returns one message of each kind at least, in the order in which they happen.
func (c *cast) examples() []example {
	attempt := wire.Attempt{
		Account: c.account, Member: c.hub.Name, Device: c.plug, Request: id("sign in"), Epoch: 2, MemberNonce: c.memberNonce,
		ServiceNonce: c.serviceNonce, EpochSecret: c.epochSecret, BindingSecret: c.plugSecret,
	}
	serviceProof, memberProof := attempt.Proofs()
	pair := func(r wire.Role, k wire.Keys) []byte {
		return wire.PairingProof(home.NewSecret(c.pairSecret), r, c.pairing, c.hub.Name, k)
	}
	all := []example{
		{"enrol", c.hub, wire.Message{Body: &wire.Enrol{
			Account: c.account, Keys: c.hub.Keys, Name: "attic", Version: "1.0.0", Pairing: c.pairing,
			Proof: pair(wire.RoleHub, c.hub.Keys),
		}}},
		{"enrolled", c.service, wire.Message{Re: id("enrol"), Body: &wire.Enrolled{
			Account: c.account, Email: c.email, Keys: c.service.Keys, Notice: c.first,
			Proof: pair(wire.RoleService, c.service.Keys),
		}}},
		{"enrol device", c.device, wire.Message{Body: &wire.Enrol{
			Account: c.account, Keys: c.device.Keys, Name: "front door", Version: "Example 1",
			Secret: c.sealed["secret of enrol"].Sealed,
		}}},
		{
			"hello", c.hub, wire.Message{Body: &wire.Hello{Account: c.account, Epoch: 1, Notice: c.first, Boot: 3, Clock: 2500}},
		},
		{"grant", c.service, wire.Message{
			Re: id("hello"), Exp: c.at + 60_500 + 24*3600_000,
			Body: &wire.Grant{Notice: c.second, Sealed: c.sealed["grant to a hub"].Sealed},
		}},
		{"welcome", c.service, wire.Message{Re: id("hello"), Body: &wire.Welcome{
			Account: c.account, Epoch: 2, Notice: c.second, Nonce: c.serviceNonce, Seal: c.hub.Keys.Seal,
			Challenge: c.sealed["challenge"].Sealed,
		}}},
		{
			"ack", c.hub,
			wire.Message{Body: &wire.Ack{Account: c.account, Epoch: 2, Seal: c.next.Public, Proof: c.keyChange().Proof()}},
		},
		{
			"receipt", c.service,
			wire.Message{Re: id("ack"), Body: &wire.Receipt{Account: c.account, Epoch: 2, Notice: c.second}},
		},
		{"bind", c.hub, wire.Message{Body: &wire.Bind{
			Account: c.account, Secrets: c.sealed["secrets of bind"].Sealed, Devices: []wire.Device{
				{ID: c.plug, Kind: "plug", Protocol: "iot", Rank: 1, Model: "HS100(EU)", Name: "lamp", MAC: "50c7bf010203"},
				{ID: c.device.Name, Kind: "camera", Protocol: "native", Rank: 3, Model: "Example 1", Name: "front door"},
			},
		}}},
		{"unbind", c.hub, wire.Message{Body: &wire.Unbind{Account: c.account, Devices: []string{c.plug}}}},
		{"sign in", c.hub, wire.Message{Body: &wire.SignIn{
			Account: c.account, Epoch: 2, MemberNonce: c.memberNonce, ServiceNonce: c.serviceNonce, Devices: []wire.Proven{
				{ID: c.plug, Proof: memberProof},
				{ID: c.device.Name, Proof: memberProof},
				{ID: "mac-50c7bf0a0b0c", Proof: memberProof},
			},
		}}},
		{"signed in", c.service, wire.Message{Re: id("sign in"), Body: &wire.SignedIn{
			Account: c.account, Epoch: 2, Nonce: c.serviceNonce,
			Devices: []wire.Proven{{ID: c.plug, Proof: serviceProof}, {ID: c.device.Name}},
			Refused: []wire.Outcome{{ID: "mac-50c7bf0a0b0c", Code: wire.CodeUnknown}},
		}}},
		{"lease", c.hub, wire.Message{Body: &wire.Lease{Account: c.account, Revision: "5b0c8e7b3f0a4d1e9c2f6a7b8d9e0f10"}}},
		{"leased", c.service, wire.Message{Re: id("lease"), Body: &wire.Leased{
			Account: c.account, Revision: "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
			Hubs: []wire.Sharer{{ID: c.hub.Name, Label: "attic", Live: true}, {ID: otherHub, Label: "kitchen"}},
			Devices: []wire.Held{
				{ID: c.plug, Hub: c.hub.Name, MAC: "50c7bf010203", Rank: 1, SignedIn: 2}, {ID: "mac-50c7bf0a0b0c", Hub: otherHub},
			},
		}}},
		{
			"refusal", c.service,
			wire.Message{
				Re: id("sign in"), Body: &wire.Refusal{Code: wire.CodeNonce, Detail: "it has expired", Nonce: c.serviceNonce},
			},
		},
		{"probe", c.hub, wire.Message{To: c.device.Name, Body: &wire.Probe{Nonce: c.probeNonce}}},
		{"statement", c.device, wire.Message{To: c.hub.Name, Re: id("probe"), Body: &wire.Statement{
			Keys: c.device.Keys, Kind: "camera", Model: "Example 1", Name: "front door", Account: c.account, Epoch: 2,
			SignedIn: 2,
			Held:     wire.HeldProof(c.epochSecret, c.account, c.device.Name, 2, c.probeNonce),
		}}},
		{
			"join", c.hub,
			wire.Message{To: c.device.Name, Body: &wire.Join{Sign: c.hub.Keys.Sign, Sealed: c.sealed["join"].Sealed}},
		},
		{"notice", c.hub, wire.Message{To: c.device.Name, Body: &wire.Passed{Notice: c.second}}},
		{"done", c.device, wire.Message{To: c.hub.Name, Re: id("join"), Body: &wire.Done{}}},
		{"relay", c.service, wire.Message{Body: &wire.Relay{
			Account: c.account, Device: c.plug, Boot: 3, Until: 30_000, Sealed: c.sealed["relay"].Sealed,
		}}},
		{
			"relayed", c.hub,
			wire.Message{
				Re: id("relay"), Body: &wire.Relayed{Account: c.account, Device: c.plug, Sealed: c.sealed["relayed"].Sealed},
			},
		},
	}
	for i := range all {
		e := &all[i]
		e.m.ID, e.m.At = id(e.name), c.at+int64(i)*1000
		switch {
		case e.m.To != "": // at the endpoint: no sequence
		case e.from == c.service:
			e.m.To = c.hub.Name
		case e.name == "relayed": // an answer to an app has none
			e.m.To = c.service.Name
		default:
			e.m.To, e.m.Seq = c.service.Name, 3<<32|uint64(i+1)
		}
	}
	return all
}
