package wire_test

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// document is the page of the protocol, or another edition of it.
var document = cmp.Or(os.Getenv("REKEYD_PROTOCOL"), "../PROTOCOL.md")

func readDocument(t testing.TB) string {
	t.Helper()
	raw, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// An example stands in a fence of its own, below a comment with its name.
var fence = regexp.MustCompile("(?s)<!-- example: ([a-z ]+) -->\n```[a-z]*\n(.*?)\n```\n")

// written returns the examples as they stand in the document.
func written(t testing.TB) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, m := range fence.FindAllStringSubmatch(readDocument(t), -1) {
		if _, twice := found[m[1]]; twice {
			t.Errorf("two examples of %s", m[1])
		}
		found[m[1]] = m[2]
	}
	return found
}

// wanted returns the examples as they ought to stand there.
func (c *cast) wanted(t testing.TB) map[string]string {
	t.Helper()
	want := map[string]string{}
	put := func(name string, raw []byte) {
		var b bytes.Buffer
		if err := json.Indent(&b, raw, "", "  "); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want[name] = b.String()
	}
	for _, e := range c.examples() {
		raw, err := e.from.Sign(&e.m)
		if err != nil {
			t.Fatalf("%s: %v", e.name, err)
		}
		put(e.name, payloadOf(t, raw))
	}
	joined, err := json.Marshal(c.joined())
	if err != nil {
		t.Fatal(err)
	}
	put("joined", joined)
	put("granted", c.sealed["grant to a hub"].Plain)
	put("retained notice", payloadOf(t, c.second.JWS()))
	want["notice as it travels"] = string(c.second.JWS())
	word := pairing.Pairing{
		Name: c.pairing, Secret: home.NewSecret(c.pairSecret), Account: c.account, Service: c.service.Keys,
		Brokers: brokers, URL: "http://192.168.1.2:7354",
	}.Reveal()
	want["pairing word"] = word
	form, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(word, "rekeyd-pair:"))
	if err != nil {
		t.Fatal(err)
	}
	put("pairing", form)
	want["login"] = c.hub.Name + "\n" + c.hub.Login().Reveal()
	want["names"] = c.hub.Name + "\n" + c.device.Name + "\n" + c.service.Name
	put("status", []byte(`{"online":true,"version":"1.0.0","boot":"3"}`))
	put(
		"state",
		[]byte(
			`{"id":"`+c.plug+`","name":"lamp","kind":"plug","verdict":"current","epoch":"2","since":"2026-01-01T00:01:09Z"}`,
		),
	)
	return want
}

func TestExamplesOfTheDocumentMatchTheCode(t *testing.T) {
	want := newCast(t).wanted(t)
	if *update {
		doc := fence.ReplaceAllStringFunc(readDocument(t), func(s string) string {
			m := fence.FindStringSubmatch(s)
			w, ok := want[m[1]]
			if !ok {
				return s
			}
			return strings.Replace(s, "\n"+m[2]+"\n```\n", "\n"+w+"\n```\n", 1)
		})
		if err := os.WriteFile(document, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got := written(t)
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s: the document has %q, the code writes %q (go test ./cloudlink/wire -update)", name, got[name], w)
		}
	}
	c := newCast(t)
	for name, payload := range got {
		if _, ok := want[name]; !ok {
			c.checkWritten(t, name, payload)
		}
	}
}

// checkWritten checks an example that stands in the document only: a message between two of the cast, with nothing in
// it that has to be computed. The code reads it, and writes the same text.
func (c *cast) checkWritten(t *testing.T, name, payload string) {
	t.Helper()
	m := c.read(t, payload)
	if m == nil {
		t.Errorf("the document has an example %q that is no message of the cast", name)
		return
	}
	var again bytes.Buffer
	if err := json.Indent(&again, []byte(asJSON(t, m)), "", "  "); err != nil || again.String() != payload {
		t.Errorf("example %q: the code writes %s", name, again.String())
	}
}

func TestExamplesOfTheDocumentVerifyUnderTheDocumentedKeys(t *testing.T) {
	c, got := newCast(t), written(t)
	who := map[string]*wire.Identity{c.hub.Name: c.hub, c.device.Name: c.device, c.service.Name: c.service}
	types := map[string]bool{}
	for _, payload := range got {
		if m := c.read(t, payload); m != nil {
			types[m.Type] = true
		}
	}
	for _, e := range c.examples() {
		m := c.read(t, got[e.name])
		if m == nil {
			t.Errorf("%s: no example", e.name)
			continue
		}
		from, to := who[m.From], who[m.To]
		if from == nil || to == nil {
			t.Errorf("%s: from %s to %s, whom the document does not introduce", e.name, m.From, m.To)
			continue
		}
		if err := m.Verify(from.Keys, to.Name); err != nil {
			t.Errorf("%s: %v", e.name, err)
		}
	}
	for typ := range bodies(t) {
		if !types[typ] {
			t.Errorf("message %q has no example: add it in cloudlink/PROTOCOL.md", typ)
		}
	}
	n, err := wire.ParseNotice([]byte(got["notice as it travels"]))
	if err != nil || n.Verify(c.service.Keys, c.account) != nil || n.Follows(1, c.first.Hash()) != nil {
		t.Errorf("notice as it travels: %v, %v, %v", err, n.Verify(c.service.Keys, c.account), n.Follows(1, c.first.Hash()))
	}
	p, err := pairing.Parse(got["pairing word"])
	if err != nil || p.Name != c.pairing || p.Secret.Reveal() != c.pairSecret {
		t.Errorf("pairing word: %v", err)
	}
	name, password, _ := strings.Cut(got["login"], "\n")
	if err := wire.CheckLogin(name, password); err != nil {
		t.Errorf("login: %v", err)
	}
}

// read parses the payload of an example, signed as its sender signs it.
func (c *cast) read(t testing.TB, payload string) *wire.Message {
	t.Helper()
	for _, id := range []*wire.Identity{c.hub, c.device, c.service} {
		for _, typ := range []string{"message", "endpoint"} {
			m, err := wire.ParseMessage(id.SignJWS(`{"alg":"EdDSA","typ":"rekeyd-`+typ+`"}`, payload))
			if err == nil && m.Verify(id.Keys, m.To) == nil {
				return m
			}
		}
	}
	return nil
}

func TestSealedExamplesOpen(t *testing.T) {
	c, got := newCast(t), written(t)
	body := func(name string) wire.Body {
		return c.read(t, got[name]).Body
	}
	g, err := c.hub.OpenGrant(c.hub.Name, body("grant").(*wire.Grant))
	if err != nil || g != (wire.Granted{Secret: c.epochSecret, Username: c.email, Password: c.password}) {
		t.Errorf("grant: %v, %v", g, err)
	}
	opened := func(member string, sealed []byte) []byte {
		t.Helper()
		plain, err := c.service.Open(wire.SecretInfo(c.account, member), sealed)
		if err != nil {
			t.Errorf("secrets of %s: %v", member, err)
		}
		return plain
	}
	if s := opened(c.device.Name, body("enrol device").(*wire.Enrol).Secret); !bytes.Equal(s, repeated(0x33)) {
		t.Errorf("secret of enrol: %x", s)
	}
	s := opened(c.hub.Name, body("bind").(*wire.Bind).Secrets)
	if len(s) != 64 || !bytes.Equal(s[:32], repeated(0x22)) {
		t.Errorf("secrets of bind: %x", s)
	}
	raw, err := c.device.Open(wire.JoinInfo(c.hub.Name, c.device.Name), body("join").(*wire.Join).Sealed)
	var j wire.Joined
	if err != nil || json.Unmarshal(raw, &j) != nil || j.Notice.Verify(c.service.Keys, c.account) != nil {
		t.Errorf("join: %v", err)
	}
	if !strings.Contains(readDocument(t), `seeds`) || j.Brokers[0].URL == "" {
		t.Error("the document does not name the seeds")
	}
}
