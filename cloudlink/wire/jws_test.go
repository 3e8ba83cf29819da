package wire_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

const (
	messageHeader = `{"alg":"EdDSA","typ":"rekeyd-message"}`
	noticeHeader  = `{"alg":"EdDSA","typ":"rekeyd-notice"}`
)

// tamper returns a JWS whose payload was changed after it was signed.
func tamper(t testing.TB, raw []byte, from, to string) []byte {
	t.Helper()
	parts := bytes.Split(raw, []byte("."))
	payload, err := base64.RawURLEncoding.DecodeString(string(parts[1]))
	if err != nil || !bytes.Contains(payload, []byte(from)) {
		t.Fatalf("nothing to change: %s, %v", payload, err)
	}
	parts[1] = base64.RawURLEncoding.AppendEncode(nil, bytes.Replace(payload, []byte(from), []byte(to), 1))
	return bytes.Join(parts, []byte("."))
}

// payloadOf returns the JSON of a JWS.
func payloadOf(t testing.TB, raw []byte) []byte {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(string(raw), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func TestTheHeaderIsExactlyAlgAndTyp(t *testing.T) {
	hub, svc := identity(t, wire.RoleHub), identity(t, wire.RoleService)
	payload := `{"type":"hello","id":"a","from":"` + hub.Name + `","to":"` + svc.Name +
		`","at":1,"body":{"account":"acc-1","epoch":"7","boot":"1","clock":0}}`
	jwk := `{"kty":"OKP","crv":"Ed25519","x":"` + base64.RawURLEncoding.EncodeToString(hub.Keys.Sign) + `"}`
	for header, want := range map[string]bool{
		messageHeader:                                              true,
		`{"typ":"rekeyd-message","alg":"EdDSA"}`:                   true,
		` { "alg" : "EdDSA" , "typ" : "rekeyd-message" } `:         true,
		`{"alg":"none","typ":"rekeyd-message"}`:                    false,
		`{"alg":"HS256","typ":"rekeyd-message"}`:                   false,
		`{"alg":"Ed25519","typ":"rekeyd-message"}`:                 false,
		`{"alg":"EDDSA","typ":"rekeyd-message"}`:                   false,
		`{"alg":["EdDSA"],"typ":"rekeyd-message"}`:                 false,
		`{"alg":"EdDSA","typ":"rekeyd-notice"}`:                    false,
		`{"alg":"EdDSA","typ":"rekeyd-endpoint"}`:                  false,
		`{"alg":"EdDSA","typ":"rekeyd-login"}`:                     false,
		`{"alg":"EdDSA","typ":"application/rekeyd-message"}`:       false,
		`{"alg":"EdDSA"}`:                                          false,
		`{"typ":"rekeyd-message"}`:                                 false,
		`{"alg":"EdDSA","typ":"rekeyd-message","jwk":` + jwk + `}`: false,
		`{"alg":"EdDSA","typ":"rekeyd-message","kid":"1"}`:         false,
		`{"alg":"EdDSA","typ":"rekeyd-message","crit":["exp"]}`:    false,
		`{"alg":"EdDSA","typ":"rekeyd-message","x":"1"}`:           false,
		`{"alg":"EdDSA","alg":"EdDSA","typ":"rekeyd-message"}`:     false,
		`{"alg":"none","alg":"EdDSA","typ":"rekeyd-message"}`:      false,
		`{"alg":"EdDSA","Alg":"none","typ":"rekeyd-message"}`:      false,
		`{"\u0061lg":"EdDSA","typ":"rekeyd-message"}`:              false,
		`["alg","EdDSA"]`:                                          false,
		`null`:                                                     false,
		``:                                                         false,
	} {
		m, err := wire.ParseMessage(hub.SignJWS(header, payload))
		if err == nil {
			err = m.Verify(hub.Keys, svc.Name)
		}
		if (err == nil) != want {
			t.Errorf("header %s: %v, want accepted: %t", header, err, want)
		}
	}
}

func TestATextThatIsNotStrictlyAJWSIsRefused(t *testing.T) {
	hub, svc := identity(t, wire.RoleHub), identity(t, wire.RoleService)
	raw, err := hub.Sign(&wire.Message{To: svc.Name, Body: &wire.Hello{Account: "acc-1"}})
	if err != nil {
		t.Fatal(err)
	}
	good := string(raw)
	parts := strings.Split(good, ".")
	// The last character of a signature of 64 bytes holds four bits that decode to nothing.
	last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", good[len(good)-1])
	spare := good[:len(good)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last|1])
	for name, bad := range map[string]string{
		"padding": good + "==", "a fourth part": good + ".", "two parts": parts[0] + "." + parts[1],
		"no signature": parts[0] + "." + parts[1] + ".",
		"a space":      good + " ", "a line end": good + "\n",
		"a line end within":     parts[0] + "\n." + parts[1] + "." + parts[2],
		"the standard alphabet": parts[0] + "." + parts[1] + ".+/" + parts[2][2:], "spare bits": spare,
		"JSON serialization": `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
	} {
		m, err := wire.ParseMessage([]byte(bad))
		if err == nil {
			err = m.Verify(hub.Keys, svc.Name)
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestDuplicateAndMisspelledMembersAreRefused(t *testing.T) {
	hub, svc := identity(t, wire.RoleHub), identity(t, wire.RoleService)
	envelope := `{"type":"hello","id":"a","from":"` + hub.Name + `","to":"` + svc.Name +
		`","at":1,"body":{"account":"acc-1","epoch":"7","boot":"1","clock":0}}`
	replaced := func(from, to string) string { return strings.Replace(envelope, from, to, 1) }
	deep := strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20)
	var many strings.Builder
	for i := range 65 {
		many.WriteString(`,"x` + strings.Repeat("y", i%60) + string(rune('a'+i/60)) + `":1`)
	}
	for name, payload := range map[string]string{
		"twice":                replaced(`"at":1`, `"at":1,"at":2`),
		"twice in the body":    replaced(`"epoch":"7"`, `"epoch":"7","epoch":"8"`),
		"twice with a space":   replaced(`"epoch":"7"`, `"epoch":"7","epoch" : "8"`),
		"an unknown twice":     replaced(`"at":1`, `"at":1,"new":1,"new":1`),
		"twice, deep":          replaced(`"at":1`, `"at":1,"new":[[{"a":1,"a":1}]]`),
		"a capital":            replaced(`"epoch":"7"`, `"Epoch":"7"`),
		"both":                 replaced(`"epoch":"7"`, `"epoch":"7","EPOCH":"8"`),
		"the Kelvin sign":      replaced(`"at":1`, "\"at\":1,\"\u212a\":1"),
		"an escape":            replaced(`"at":1`, `"at":1,"a\u0074":2`),
		"no name":              replaced(`"at":1`, `"at":1,"":2`),
		"a number as epoch":    replaced(`"7"`, `7`),
		"a negative epoch":     replaced(`"7"`, `"-7"`),
		"an epoch of 2^64":     replaced(`"7"`, `"18446744073709551616"`),
		"too deep":             replaced(`"at":1`, `"at":1,"new":`+deep),
		"too many":             replaced(`"at":1`, `"at":1`+many.String()),
		"a list":               `[` + envelope + `]`,
		"two objects":          envelope + envelope,
		"a broken byte":        replaced(`"at":1`, "\"at\":1,\"new\":\"\xff\""),
		"a name without value": replaced(`"at":1`, `"at"`),
	} {
		if m, err := wire.ParseMessage(hub.SignJWS(messageHeader, payload)); err == nil {
			t.Errorf("%s: read as %+v", name, m)
		}
	}
	// A colon in a value does not make a name of it, and unknown members are read past, signed all the same.
	fine := replaced(`"at":1`, `"at":1,"new":{"a":":\"a\":","b":["a","a"],"c":[{"a":1},{"a":1}]}`)
	raw := hub.SignJWS(messageHeader, fine)
	m, err := wire.ParseMessage(raw)
	if err != nil || m.Verify(hub.Keys, svc.Name) != nil || m.Body.(*wire.Hello).Epoch != 7 {
		t.Fatalf("%+v, %v", m, err)
	}
	if m, err = wire.ParseMessage(tamper(t, raw, `{"a":1}`, `{"a":2}`)); err != nil ||
		!errors.Is(m.Verify(hub.Keys, svc.Name), home.ErrForged) {
		t.Errorf("an unknown field was changed: %v", err)
	}
}

func TestANoticeIsAcceptedAsANoticeOnly(t *testing.T) {
	svc := identity(t, wire.RoleService)
	payload := `{"account":"acc-1","epoch":"1","at":5,"cause":"registered","via":"web"}`
	if n, err := wire.ParseNotice(svc.SignJWS(noticeHeader, payload)); err != nil || n.Verify(svc.Keys, "acc-1") != nil {
		t.Fatalf("%+v, %v", n, err)
	}
	if n, err := wire.ParseNotice(svc.SignJWS(messageHeader, payload)); err == nil {
		t.Errorf("a message was read as a notice: %+v", n)
	}
	if wire.CheckLogin(svc.Name, string(svc.SignJWS(messageHeader, `{"name":"`+svc.Name+`"}`))) == nil {
		t.Error("a message was taken as a login")
	}
	n := svc.SignNotice(wire.Notice{Account: "acc-1", Epoch: 1})
	n.Epoch = 2
	if err := n.Verify(svc.Keys, "acc-1"); !errors.Is(err, home.ErrForged) {
		t.Errorf("a field that was changed after signing: %v", err)
	}
}

// FuzzCheckObject: an object that passes reads the same into a map as into a list of members.
func FuzzCheckObject(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":{"b":[1,"c:"]}}`, `{"a":1,"a":2}`, `{"a\u0062":1}`, ` {"a" :"\\\":"}`, `[]`, `{"a":"\ud800"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if wire.CheckObject(raw) != nil {
			return
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		var walk func()
		walk = func() {
			tok, err := dec.Token()
			if err != nil {
				t.Fatal(err)
			}
			switch tok {
			case json.Delim('{'):
				seen := map[string]bool{}
				for dec.More() {
					name, err := dec.Token()
					if err != nil || seen[strings.ToLower(name.(string))] {
						t.Fatalf("%s: %v stands twice, or %v", raw, name, err)
					}
					seen[strings.ToLower(name.(string))] = true
					walk()
				}
				_, _ = dec.Token()
			case json.Delim('['):
				for dec.More() {
					walk()
				}
				_, _ = dec.Token()
			}
		}
		walk()
	})
}

// A field that a later version adds is under the signature, and an older receiver takes the message all the same.
func TestAFieldThatIsAddedLaterIsSignedAndReadPast(t *testing.T) {
	svc, hub := identity(t, wire.RoleService), identity(t, wire.RoleHub)
	notice := svc.SignNotice(wire.Notice{Account: "acc-1", Epoch: 1})
	raw, err := svc.Sign(&wire.Message{To: hub.Name, Body: &wire.Welcome{Account: "acc-1", Epoch: 1, Notice: notice}})
	if err != nil {
		t.Fatal(err)
	}
	payload := strings.Replace(string(payloadOf(t, raw)), `"epoch":"1"`, `"epoch":"1","lease":{"life":60000}`, 1)
	raw = svc.SignJWS(messageHeader, payload)
	m, err := wire.ParseMessage(raw)
	if err != nil || m.Verify(svc.Keys, hub.Name) != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	if w := m.Body.(*wire.Welcome); w.Epoch != 1 || !bytes.Equal(w.Notice.JWS(), notice.JWS()) {
		t.Errorf("read as %+v", w)
	}
	m, err = wire.ParseMessage(tamper(t, raw, "60000", "90000"))
	if err != nil || !errors.Is(m.Verify(svc.Keys, hub.Name), home.ErrForged) {
		t.Errorf("with the added field changed: %v", err)
	}
}
