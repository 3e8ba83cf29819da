package wire_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// longest names a device, with a name of the greatest length.
func longest(i int) string { return fmt.Sprintf("%064d", i) }

func many[T any](n int, item func(id string) T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = item(longest(i))
	}
	return out
}

func TestAFullMessageFits(t *testing.T) {
	hub, svc := identity(t, wire.RoleHub), identity(t, wire.RoleService)
	text := strings.Repeat("x", 256)
	itself := func(id string) string { return id }
	outcome := func(id string) wire.Outcome { return wire.Outcome{ID: id, Code: wire.CodeNotSpoken} }
	device := func(id string) wire.Device {
		return wire.Device{ID: id, Kind: "camera", Protocol: "tapocam", Rank: 3, Model: text, Name: text, MAC: "50c7bf010203"}
	}
	held := func(id string) wire.Held {
		return wire.Held{ID: id, Hub: text[:64], MAC: text, Rank: 3, SignedIn: 1<<64 - 1}
	}
	sharer := func(id string) wire.Sharer { return wire.Sharer{ID: id, Label: text, Live: true} }
	proof := func(id string) wire.Proven { return wire.Proven{ID: id, Proof: wire.NewNonce()} }
	for _, b := range []wire.Body{
		&wire.Bind{
			Account: text[:64], Secrets: make([]byte, 32*wire.MaxDevices+48), Devices: many(wire.MaxDevices, device),
		},
		&wire.Unbind{Account: text[:64], Devices: many(wire.MaxDevices, itself)},
		&wire.Leased{
			Account: text[:64], Revision: text, Devices: many(wire.MaxDevices, held), Hubs: many(wire.MaxHubs, sharer),
		},
		&wire.SignIn{
			Account: text[:64], MemberNonce: wire.NewNonce(), ServiceNonce: make([]byte, 40),
			Devices: many(wire.MaxProven, proof),
		},
		&wire.SignedIn{Account: text[:64], Nonce: make([]byte, 40), Devices: many(wire.MaxProven, proof)},
		&wire.SignedIn{Account: text[:64], Nonce: make([]byte, 40), Refused: many(wire.MaxProven, outcome)},
		&wire.Receipt{
			Account: text[:64], Notice: svc.SignNotice(wire.Notice{Account: text[:64], Cause: text, Via: text}),
			Refused: many(wire.MaxDevices, outcome),
		},
	} {
		raw, err := hub.Sign(&wire.Message{To: svc.Name, Seq: 1<<64 - 1, Body: b})
		if err != nil {
			t.Errorf("%s: %v", wire.TypeOf(b), err)
			continue
		}
		if m, err := wire.ParseMessage(raw); err != nil || m.Verify(hub.Keys, svc.Name) != nil {
			t.Errorf("%s of %d bytes: %v", wire.TypeOf(b), len(raw), err)
		}
	}
}

func TestABodyBeyondALimitIsNeitherSignedNorRead(t *testing.T) {
	hub, svc := identity(t, wire.RoleHub), identity(t, wire.RoleService)
	const good = "acc-1"
	itself := func(id string) string { return id }
	for name, b := range map[string]wire.Body{
		"one device too many": &wire.Unbind{Account: good, Devices: many(wire.MaxDevices+1, itself)},
		"one too many refused": &wire.SignedIn{
			Account: good, Refused: many(wire.MaxProven+1, func(id string) wire.Outcome { return wire.Outcome{ID: id} }),
		},
		"one sign-in too many": &wire.SignIn{
			Account: good, Devices: many(wire.MaxProven+1, func(id string) wire.Proven { return wire.Proven{ID: id} }),
		},
		"a device twice":             &wire.SignIn{Account: good, Devices: []wire.Proven{{ID: "a"}, {ID: "b"}, {ID: "a"}}},
		"a bound device twice":       &wire.Bind{Account: good, Devices: []wire.Device{{ID: "a"}, {ID: "a", Kind: "plug"}}},
		"a proven device twice":      &wire.SignedIn{Account: good, Devices: []wire.Proven{{ID: "a"}, {ID: "a"}}},
		"a device without a name":    &wire.Unbind{Account: good, Devices: []string{""}},
		"an account without a name":  &wire.Hello{},
		"a name of 65":               &wire.Ack{Account: strings.Repeat("a", 65)},
		"a name that leaves a topic": &wire.Hello{Account: "a/b"},
		"a wildcard":                 &wire.Hello{Account: "+"},
		"a capital":                  &wire.Hello{Account: "A"},
		"a letter beyond ASCII":      &wire.Hello{Account: "é"},
		"a pairing that is no name":  &wire.Enrol{Account: good, Pairing: "../x"},
		"a text of 257":              &wire.Enrol{Account: good, Name: strings.Repeat("a", 257)},
		"a text that is not UTF-8":   &wire.Enrol{Account: good, Name: "a\xff"},
		"a line end":                 &wire.Enrol{Account: good, Name: "a\nb"},
		"a delete":                   &wire.Enrol{Account: good, Version: "a\x7f"},
		"a code with an escape":      &wire.Refusal{Code: "\x1b[2J"},
		"a code of a device with it": &wire.Receipt{
			Account: good, Notice: wire.Notice{Account: good}, Refused: []wire.Outcome{{ID: "a", Code: "\x1b"}},
		},
		"a notice's cause with it":    &wire.Grant{Notice: wire.Notice{Account: good, Cause: "\x1b"}},
		"a notice's door with it":     &wire.Passed{Notice: wire.Notice{Account: good, Via: "\x1b"}},
		"a notice without an author":  &wire.Enrolled{Account: good},
		"a receipt without an author": &wire.Receipt{Account: good},
		"a model with it":             &wire.Bind{Account: good, Devices: []wire.Device{{ID: "a", Model: "\x1b"}}},
		"a statement's name with it":  &wire.Statement{Name: "\x1b"},
		"a statement's account":       &wire.Statement{Account: "A"},
		"an enrolment without keys":   &wire.Enrol{Name: "a"},
		"a short nonce":               &wire.Probe{Nonce: make([]byte, 31)},
		"a relay of no device":        &wire.Relay{Account: good},
		"a relayed's code with it":    &wire.Relayed{Account: good, Device: "a", Code: "\x1b"},
		"a done's code with it":       &wire.Done{Code: "\x00"},
		"too many bytes":              &wire.Grant{Notice: wire.Notice{Account: good}, Sealed: make([]byte, wire.MaxMessage)},
	} {
		if raw, err := hub.Sign(&wire.Message{To: svc.Name, Body: b}); err == nil {
			t.Errorf("%s: was signed: %.200s", name, raw)
		}
	}
	endpoint := func(payload string) []byte { return hub.SignJWS(`{"alg":"EdDSA","typ":"rekeyd-endpoint"}`, payload) }
	envelope := `{"type":"done","id":"a","from":"b","to":"c","at":1,"body":{}}`
	if _, err := wire.ParseMessage(endpoint(envelope)); err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"nothing":               "",
		"not an object":         "[]",
		"null":                  "null",
		"two objects":           envelope + envelope,
		"cut short":             envelope[:len(envelope)-1],
		"an unknown type":       strings.Replace(envelope, "done", "undo", 1),
		"no type":               strings.Replace(envelope, `"type":"done",`, "", 1),
		"no body":               strings.Replace(envelope, `,"body":{}`, "", 1),
		"a null body":           strings.Replace(envelope, `"body":{}`, `"body":null`, 1),
		"a body of another":     strings.Replace(envelope, `"body":{}`, `"body":[]`, 1),
		"no name":               strings.Replace(envelope, `"id":"a"`, `"id":""`, 1),
		"an answer to no name":  strings.Replace(envelope, `"from"`, `"re":"A","from"`, 1),
		"a sender with a space": strings.Replace(envelope, `"b"`, `"b "`, 1),
		"a receiver in capital": strings.Replace(envelope, `"c"`, `"C"`, 1),
		"a negative sequence":   strings.Replace(envelope, `"from"`, `"seq":"-1","from"`, 1),
		"a sequence of 2^64":    strings.Replace(envelope, `"from"`, `"seq":"18446744073709551616","from"`, 1),
		"half a sequence":       strings.Replace(envelope, `"from"`, `"seq":"0.5","from"`, 1),
		"too many bytes":        envelope + strings.Repeat(" ", wire.MaxMessage*3/4),
		"control characters":    strings.Replace(envelope, `{}`, `{"code":"\u001b"}`, 1),
	} {
		if m, err := wire.ParseMessage(endpoint(raw)); err == nil {
			t.Errorf("%s: was read: %+v", name, m)
		}
	}
	if _, err := wire.ParseMessage(endpoint(envelope + strings.Repeat(" ", wire.MaxMessage*3/4-400))); err != nil {
		t.Errorf("nearly as many bytes as may be: %v", err)
	}
	if _, err := wire.ParseMessage(hub.SignJWS(messageHeader, envelope)); err == nil {
		t.Error("a type of the endpoint came as a message")
	}
	notice := `{"account":"acc-1","epoch":"1"}`
	for name, raw := range map[string]string{
		"too long": notice + strings.Repeat(" ", 4096*3/4), "no author": `{}`, "null": `null`,
		"an escape": `{"account":"a","via":"\u001b"}`, "empty": ``,
	} {
		if n, err := wire.ParseNotice(svc.SignJWS(noticeHeader, raw)); err == nil {
			t.Errorf("notice %s: was read: %+v", name, n)
		}
	}
}

func TestAnErrorDoesNotRepeatALongOrBrokenType(t *testing.T) {
	for _, typ := range []string{strings.Repeat("x", 10_000), strings.Repeat("é", 5000), `\u001b[2J`} {
		_, err := wire.ParseMessage(identity(t, wire.RoleHub).SignJWS(
			messageHeader, `{"type":"`+typ+`","id":"a","from":"b","to":"c","body":{}}`,
		))
		if err == nil || len(err.Error()) > 200 || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%.20s…: %.300v", typ, err)
		}
	}
}

func TestShortKeysAndSealsAreRefused(t *testing.T) {
	hub := identity(t, wire.RoleHub)
	for n := range 40 {
		short := make([]byte, n)
		for _, k := range []wire.Keys{
			{Sign: short, Seal: short}, {Sign: hub.Keys.Sign, Seal: short}, {Sign: short, Seal: hub.Keys.Seal},
		} {
			if name := k.Name(wire.RoleHub); len(k.Sign) != 32 && k.Is(name) {
				t.Errorf("keys of %d and %d bytes are somebody's", len(k.Sign), len(k.Seal))
			}
			if sealed, err := k.SealTo(nil, []byte("plain")); err == nil && len(k.Seal) != 32 {
				t.Errorf("sealed to a key of %d bytes: %x", n, sealed)
			}
		}
		if _, err := wire.NewIdentity(wire.RoleHub, short, hub.Keys.Seal); n != 32 && err == nil {
			t.Errorf("identity of a seed of %d bytes", n)
		}
		if _, err := wire.NewIdentity(wire.RoleHub, hub.Keys.Seal, short); n != 32 && err == nil {
			t.Errorf("identity of a sealing seed of %d bytes", n)
		}
		if _, err := hub.Open(nil, short); !errors.Is(err, home.ErrForged) {
			t.Errorf("%d zeroes open: %v", n, err)
		}
		if _, err := hub.OpenGrant(hub.Name, &wire.Grant{Sealed: short}); !errors.Is(err, home.ErrForged) {
			t.Errorf("a grant of %d zeroes opens: %v", n, err)
		}
	}
	// A key that all share a secret with is no key: what is sealed to it could be opened by anybody.
	if sealed, err := (wire.Keys{Seal: make([]byte, 32)}).SealTo(nil, []byte("plain")); err == nil {
		t.Errorf("sealed to the zero point: %x", sealed)
	}
	if wire.Equal(nil, nil) || wire.Equal([]byte{}, nil) {
		t.Error("no proof is equal to no proof")
	}
	for _, plain := range []string{`{"secret":"AAAA"}`, `{}`, `null`, `"`, ``} {
		sealed, err := hub.Keys.SealTo(wire.GrantInfo("a", hub.Name, 1), []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		g := &wire.Grant{Notice: wire.Notice{Account: "a", Epoch: 1}, Sealed: sealed}
		if got, err := hub.OpenGrant(hub.Name, g); !errors.Is(err, home.ErrForged) || got != (wire.Granted{}) {
			t.Errorf("grant of %q: %v, %v", plain, got, err)
		}
	}
}

// A sign-in of nothing still has two proofs that differ, and both change with each part.
func TestTheProofsOfASignInCoverEachOfItsParts(t *testing.T) {
	seen := map[string]string{}
	for name, change := range map[string]func(*wire.Attempt){
		"nothing":           func(*wire.Attempt) {},
		"account":           func(s *wire.Attempt) { s.Account = "x" },
		"member":            func(s *wire.Attempt) { s.Member = "x" },
		"device":            func(s *wire.Attempt) { s.Device = "x" },
		"request":           func(s *wire.Attempt) { s.Request = "x" },
		"epoch":             func(s *wire.Attempt) { s.Epoch = 1 },
		"member's nonce":    func(s *wire.Attempt) { s.MemberNonce = []byte("x") },
		"service's nonce":   func(s *wire.Attempt) { s.ServiceNonce = []byte("x") },
		"epoch's secret":    func(s *wire.Attempt) { s.EpochSecret = home.NewSecret("x") },
		"binding secret":    func(s *wire.Attempt) { s.BindingSecret = home.KeyBytes([]byte("x")) },
		"member and device": func(s *wire.Attempt) { s.Member, s.Device = "xx", "" },
		"other way":         func(s *wire.Attempt) { s.Member, s.Device = "", "xx" },
		"both nonces":       func(s *wire.Attempt) { s.MemberNonce, s.ServiceNonce = []byte("xx"), nil },
		"nonces other way":  func(s *wire.Attempt) { s.MemberNonce, s.ServiceNonce = nil, []byte("xx") },
		"secrets' other way": func(s *wire.Attempt) {
			s.EpochSecret, s.BindingSecret = home.NewSecret("xx"), home.KeyBytes([]byte("yy"))
		},
		"secrets one way": func(s *wire.Attempt) {
			s.EpochSecret, s.BindingSecret = home.NewSecret("yy"), home.KeyBytes([]byte("xx"))
		},
	} {
		var s wire.Attempt
		change(&s)
		service, member := s.Proofs()
		for role, p := range map[string][]byte{"service": service, "member": member} {
			if other, twice := seen[string(p)]; twice || len(p) != 32 {
				t.Errorf("%s of %q is also %s", role, name, other)
			}
			seen[string(p)] = role + " of " + name
		}
	}
}

// A proof for a new sealing key changes with each of its parts.
func TestTheProofOfASealingKeyCoversEachOfItsParts(t *testing.T) {
	seen := map[string]string{}
	for name, change := range map[string]func(*wire.KeyChange){
		"nothing":        func(*wire.KeyChange) {},
		"account":        func(c *wire.KeyChange) { c.Account = "x" },
		"member":         func(c *wire.KeyChange) { c.Member = "x" },
		"epoch":          func(c *wire.KeyChange) { c.Epoch = 1 },
		"seal":           func(c *wire.KeyChange) { c.Seal = []byte("x") },
		"message":        func(c *wire.KeyChange) { c.Message = "x" },
		"epoch's secret": func(c *wire.KeyChange) { c.EpochSecret = home.NewSecret("x") },
		"challenge":      func(c *wire.KeyChange) { c.Challenge = []byte("x") },
	} {
		var c wire.KeyChange
		change(&c)
		p := c.Proof()
		if other, twice := seen[string(p)]; twice || len(p) != 32 {
			t.Errorf("the proof of %q is also that of %q", name, other)
		}
		seen[string(p)] = name
	}
}

// A nonce of the service is checked by any instance, for one member, account and epoch, for ten minutes.
func TestTheServicesNonceIsForOneMemberAndTenMinutes(t *testing.T) {
	svc, other := identity(t, wire.RoleService), identity(t, wire.RoleService)
	now := time.UnixMilli(1767225600000)
	good := svc.SignInNonce("acc-1", "hub-a", 7, now)
	flipped := append([]byte{}, good...)
	flipped[2] ^= 1 // of its time
	for name, c := range map[string]struct {
		nonce           []byte
		account, member string
		epoch           uint64
		after           time.Duration
		want            bool
	}{
		"at once":           {good, "acc-1", "hub-a", 7, 0, true},
		"at its end":        {good, "acc-1", "hub-a", 7, 10 * time.Minute, true},
		"too late":          {good, "acc-1", "hub-a", 7, 10*time.Minute + time.Millisecond, false},
		"by a clock behind": {good, "acc-1", "hub-a", 7, -time.Minute, true},
		"from the future":   {good, "acc-1", "hub-a", 7, -2 * time.Minute, false},
		"another account":   {good, "acc-2", "hub-a", 7, 0, false},
		"another member":    {good, "acc-1", "hub-b", 7, 0, false},
		"another epoch":     {good, "acc-1", "hub-a", 8, 0, false},
		"another time":      {flipped, "acc-1", "hub-a", 7, 0, false},
		"cut short":         {good[:8], "acc-1", "hub-a", 7, 0, false},
		"nothing":           {nil, "acc-1", "hub-a", 7, 0, false},
		"another service's": {other.SignInNonce("acc-1", "hub-a", 7, now), "acc-1", "hub-a", 7, 0, false},
		"one byte more":     {append(append([]byte{}, good...), 0), "acc-1", "hub-a", 7, 0, false},
		"the key challenge": {svc.KeyChallenge("acc-1", "hub-a", nil), "acc-1", "hub-a", 7, 0, false},
	} {
		if got := svc.CheckSignInNonce(c.nonce, c.account, c.member, c.epoch, now.Add(c.after)); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestAnyChangeOfASealIsDetected(t *testing.T) {
	c := newCast(t)
	for name, s := range c.sealed {
		for i := range s.Sealed {
			if i > 64 && i < len(s.Sealed)-20 && i%16 != 0 {
				continue // the middle of the ciphertext by samples: each try costs a key agreement
			}
			bad := append([]byte{}, s.Sealed...)
			bad[i] ^= 0x40
			if plain, err := s.To.Open(s.Info, bad); !errors.Is(err, home.ErrForged) || plain != nil {
				t.Errorf("%s with byte %d changed: %x, %v", name, i, plain, err)
			}
		}
		for _, n := range []int{0, 1, 31, 32, 33, 47, 48, len(s.Sealed) - 1} {
			if plain, err := s.To.Open(s.Info, s.Sealed[:n]); !errors.Is(err, home.ErrForged) || plain != nil {
				t.Errorf("%s cut to %d bytes: %x, %v", name, n, plain, err)
			}
		}
		if _, err := s.To.Open(s.Info, append(append([]byte{}, s.Sealed...), 0)); !errors.Is(err, home.ErrForged) {
			t.Errorf("%s and a byte more: %v", name, err)
		}
		for other, o := range c.sealed {
			if other == name {
				continue
			}
			if _, err := o.To.Open(o.Info, s.Sealed); !errors.Is(err, home.ErrForged) {
				t.Errorf("%s opens as %s: %v", name, other, err)
			}
		}
	}
}

func TestTheSeedsOfAnIdentityPrintNowhere(t *testing.T) {
	id, err := wire.NewIdentity(wire.RoleHub, repeated(0x77), repeated(0x78))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%o", "%c", "%U", "%t"} {
		for what, v := range map[string]any{"a pointer": id, "a copy": *id} {
			if out := fmt.Sprintf(verb, v); out != id.Name {
				t.Errorf("%s of %s prints %s", verb, what, out)
			}
		}
		for what, v := range map[string]any{
			"in a struct": struct{ ID *wire.Identity }{id}, "hidden": struct{ id *wire.Identity }{id},
			"hidden, a copy": struct{ id wire.Identity }{*id},
			"in a list":      []*wire.Identity{id}, "deep": map[string][]struct{ id *wire.Identity }{"a": {{id}}},
		} {
			out := strings.ToLower(fmt.Sprintf(verb, v))
			for _, key := range []string{
				"119 119", "77777777", "0x77, 0x77", "167 167", "wwww", "120 120", "78787878", "0x78, 0x78",
			} {
				if strings.Contains(out, key) {
					t.Errorf("%s of an identity %s prints %s", verb, what, out)
				}
			}
		}
	}
	raw, err := json.Marshal(id)
	if err != nil || bytes.Contains(raw, []byte(base64.StdEncoding.EncodeToString(repeated(0x77))[:40])) {
		t.Errorf("json: %s, %v", raw, err)
	}
	if out := fmt.Sprintf("%v %+v %#v", id.Login(), id.Login(), id.Login()); strings.Contains(out, id.Login().Reveal()) {
		t.Errorf("the login prints: %s", out)
	}
}
