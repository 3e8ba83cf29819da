package wire_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

const document = "../PROTOCOL.md"

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
		put(e.name, raw)
	}
	joined, err := json.Marshal(c.joined())
	if err != nil {
		t.Fatal(err)
	}
	put("joined", joined)
	put("granted", c.sealed["grant to a hub"].Plain)
	put("retained notice", c.second.JSON())
	word := pairing.Pairing{
		Name: c.pairing, Secret: home.NewSecret(c.pairSecret), Account: c.account, Service: c.service.Keys,
		Brokers: []string{"mqtt://192.168.1.2:7355"}, URL: "http://192.168.1.2:7354",
	}.Reveal()
	want["pairing word"] = word
	form, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(word, "rekeyd-pair:"))
	if err != nil {
		t.Fatal(err)
	}
	put("pairing", form)
	want["login"] = c.hub.Name + "\n" + c.hub.Login().Reveal()
	want["names"] = c.hub.Name + "\n" + c.device.Name + "\n" + c.service.Name
	put("status", []byte(`{"online":true,"version":"1.0.0","boot":3}`))
	put("state", []byte(`{"id":"`+c.plug+`","name":"lamp","kind":"plug","verdict":"current","epoch":2,"since":"2026-01-01T00:01:09Z"}`))
	return want
}

func TestExamplesOfTheDocumentAreWhatTheCodeSays(t *testing.T) {
	want := newCast(t).wanted(t)
	if *update {
		doc := fence.ReplaceAllStringFunc(readDocument(t), func(s string) string {
			m := fence.FindStringSubmatch(s)
			w, ok := want[m[1]]
			if !ok {
				t.Fatalf("nobody knows the example %q", m[1])
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
			t.Errorf("%s: the document has %q, the code says %q (go test ./cloudlink/wire -update)", name, got[name], w)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("the document has an example %q that no code made", name)
		}
	}
}

func TestExamplesOfTheDocumentVerifyUnderTheDocumentedKeys(t *testing.T) {
	c, got := newCast(t), written(t)
	who := map[string]*wire.Identity{c.hub.Name: c.hub, c.device.Name: c.device, c.service.Name: c.service}
	types := map[string]bool{}
	for _, e := range c.examples() {
		m, err := wire.ParseMessage([]byte(got[e.name]))
		if err != nil {
			t.Errorf("%s: %v", e.name, err)
			continue
		}
		types[m.Type] = true
		from, to := who[m.From], who[m.To]
		if from == nil || to == nil {
			t.Errorf("%s: from %s to %s, whom the document does not introduce", e.name, m.From, m.To)
			continue
		}
		if err := m.Verify(from.Keys, to.Name); err != nil {
			t.Errorf("%s: %v", e.name, err)
		}
		m.Seq++
		if m.Verify(from.Keys, to.Name) == nil {
			t.Errorf("%s: holds with another sequence number", e.name)
		}
	}
	for typ := range bodies(t) {
		if !types[typ] {
			t.Errorf("no example of %s", typ)
		}
	}
	n, err := wire.ParseNotice([]byte(got["retained notice"]))
	if err != nil || n.Verify(c.service.Keys, c.account) != nil || n.Follows(1, c.first.Hash()) != nil {
		t.Errorf("retained notice: %v, %v, %v", err, n.Verify(c.service.Keys, c.account), n.Follows(1, c.first.Hash()))
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

func TestSealedExamplesOpen(t *testing.T) {
	c, got := newCast(t), written(t)
	body := func(name string) wire.Body {
		m, err := wire.ParseMessage([]byte(got[name]))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return m.Body
	}
	g, err := c.hub.OpenGrant(body("grant").(*wire.Grant))
	if err != nil || g != (wire.Granted{Secret: c.epochSecret, Username: c.email, Password: c.password}) {
		t.Errorf("grant: %v, %v", g, err)
	}
	if s, err := c.service.Open(wire.SecretInfo(c.account, c.device.Name), body("enrol device").(*wire.Enrol).Secret); err != nil || !bytes.Equal(s, repeated(0x33)) {
		t.Errorf("secret of enrol: %v", err)
	}
	if s, err := c.service.Open(wire.SecretInfo(c.account, c.hub.Name), body("bind").(*wire.Bind).Secrets); err != nil || !bytes.Equal(s[:32], repeated(0x22)) || len(s) != 64 {
		t.Errorf("secrets of bind: %v", err)
	}
	raw, err := c.device.Open(wire.JoinInfo(c.hub.Name, c.device.Name), body("join").(*wire.Join).Sealed)
	var j wire.Joined
	if err != nil || json.Unmarshal(raw, &j) != nil || j.Notice.Verify(c.service.Keys, c.account) != nil {
		t.Errorf("join: %v", err)
	}
	if !strings.Contains(readDocument(t), `seeds`) || j.Brokers[0] == "" {
		t.Error("the document does not name the seeds")
	}
}

// declarations parses a Go file for its struct types and its constants, for what reflection cannot reach.
func declarations(t testing.TB, path string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// bodies returns the type of each body by its name, as bodies.go declares them: a new one cannot be forgotten.
func bodies(t testing.TB) map[string]reflect.Type {
	t.Helper()
	known := map[string]reflect.Type{}
	for _, b := range []wire.Body{
		&wire.Enrol{}, &wire.Enrolled{}, &wire.Ask{}, &wire.Grant{}, &wire.Ack{}, &wire.Bind{}, &wire.Unbind{}, &wire.Begin{},
		&wire.Challenge{}, &wire.Proof{}, &wire.Session{}, &wire.Confirm{}, &wire.Receipt{}, &wire.Refusal{}, &wire.Join{},
		&wire.Passed{}, &wire.Probe{}, &wire.Statement{}, &wire.Done{},
	} {
		known[b.Type()] = reflect.TypeOf(b).Elem()
	}
	declared := 0
	for _, d := range declarations(t, "bodies.go").Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "Type" || f.Recv == nil {
			continue
		}
		declared++
		typ, _ := strconv.Unquote(f.Body.List[0].(*ast.ReturnStmt).Results[0].(*ast.BasicLit).Value)
		if known[typ] == nil {
			t.Errorf("bodies.go declares %q, which these tests do not know", typ)
		}
	}
	if declared != len(known) {
		t.Errorf("bodies.go declares %d bodies, these tests know %d", declared, len(known))
	}
	return known
}

// row is a line of a table of fields: name, type, meaning.
var row = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z0-9 ]+\\??) \\| .*\\|$")

// table returns the rows of the first table below a heading, as "name type".
func table(t testing.TB, doc, heading string) []string {
	t.Helper()
	_, rest, ok := strings.Cut(doc, "\n### `"+heading+"`\n")
	if !ok {
		t.Errorf("the document has no heading `%s`", heading)
		return nil
	}
	section, _, _ := strings.Cut(rest, "\n#")
	var rows []string
	for _, m := range row.FindAllStringSubmatch(section, -1) {
		rows = append(rows, m[1]+" "+m[2])
	}
	return rows
}

// fields returns what the table of a struct has to say, in the order in which it is encoded.
func fields(typ reflect.Type) []string {
	var rows []string
	for f := range typ.Fields() {
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		what := typeName(f.Type)
		if opts == "omitempty" {
			what += "?"
		}
		rows = append(rows, name+" "+what)
	}
	return rows
}

func typeName(typ reflect.Type) string {
	switch {
	case typ == reflect.TypeFor[[]byte]():
		return "bytes"
	case typ.Kind() == reflect.Slice:
		return "list of " + typeName(typ.Elem())
	case typ == reflect.TypeFor[wire.Body]():
		return "object"
	case typ == reflect.TypeFor[wire.Notice]():
		return "signed notice" // "notice" is the message that passes one on
	}
	return strings.ToLower(typ.Name())
}

func TestTablesOfTheDocumentAreTheFieldsInTheOrderOfSigning(t *testing.T) {
	doc := readDocument(t)
	types := bodies(t)
	maps.Copy(types, map[string]reflect.Type{
		"keys": reflect.TypeFor[wire.Keys](), "device": reflect.TypeFor[wire.Device](), "nonce": reflect.TypeFor[wire.Nonce](),
		"challenged": reflect.TypeFor[wire.Challenged](), "proven": reflect.TypeFor[wire.Proven](), "outcome": reflect.TypeFor[wire.Outcome](),
		"envelope": reflect.TypeFor[wire.Message](), "signed notice": reflect.TypeFor[wire.Notice](), "joined": reflect.TypeFor[wire.Joined](),
	})
	for name, typ := range types {
		if got, want := table(t, doc, name), fields(typ); !slices.Equal(got, want) {
			t.Errorf("table of %s:\n got %v\nwant %v", name, got, want)
		}
	}
	for name, at := range map[string][2]string{"status": {"../receive.go", "presence"}, "state": {"../state.go", "DeviceState"}, "granted": {"secret.go", "granted"}, "pairing": {"../pairing/pairing.go", "form"}} {
		if got, want := table(t, doc, name), declared(t, at[0], at[1]); !slices.Equal(got, want) {
			t.Errorf("table of %s:\n got %v\nwant %v", name, got, want)
		}
	}
}

// declared is fields for a struct type that cannot be reached from here.
func declared(t testing.TB, path, name string) []string {
	t.Helper()
	var rows []string
	ast.Inspect(declarations(t, path), func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != name {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			tag, _ := strconv.Unquote(f.Tag.Value)
			field, opts, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
			what := declaredName(f.Type)
			if opts == "omitempty" {
				what += "?"
			}
			rows = append(rows, field+" "+what)
		}
		return false
	})
	return rows
}

func declaredName(e ast.Expr) string {
	switch typ := e.(type) {
	case *ast.Ident:
		return typ.Name
	case *ast.SelectorExpr:
		return strings.ToLower(typ.Sel.Name)
	case *ast.ArrayType:
		if elem := declaredName(typ.Elt); elem != "byte" {
			return "list of " + elem
		}
		return "bytes"
	}
	return "unknown"
}

func TestEveryRefusalCodeIsDocumented(t *testing.T) {
	var want []string
	for _, d := range declarations(t, "bodies.go").Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if strings.HasPrefix(v.Names[0].Name, "Code") {
				code, _ := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
				want = append(want, code)
			}
		}
	}
	_, rest, _ := strings.Cut(readDocument(t), "\n### Codes\n")
	section, _, _ := strings.Cut(rest, "\n#")
	var got []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllStringSubmatch(section, -1) {
		got = append(got, m[1])
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(want) == 0 {
		t.Errorf("the document has the codes %v, the code has %v", got, want)
	}
}

func TestTopicsOfTheDocumentAreThoseOfTheCode(t *testing.T) {
	want := map[string]string{
		wire.NoticeTopic("{account}"): "account/notice", wire.StatusTopic("{hub}"): "hub/status", wire.StateTopic("{device}"): "device/state",
		wire.InboxTopic("hub-{id}"): "hub/inbox", wire.OutboxTopic("hub-{id}"): "hub/outbox",
		wire.InboxTopic("rk-{id}"): "device/inbox", wire.OutboxTopic("rk-{id}"): "device/outbox",
	}
	got := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(rekeyd/v1/[^`]+)` \\|").FindAllStringSubmatch(readDocument(t), -1) {
		got[m[1]] = true
		topic, ok := wire.ParseTopic(strings.NewReplacer("{", "", "}", "").Replace(m[1]))
		if !ok || topic.Branch+"/"+topic.Leaf != want[m[1]] {
			t.Errorf("topic %s: %v, %t", m[1], topic, ok)
		}
	}
	for topic := range want {
		if !got[topic] {
			t.Errorf("the document has no topic %s", topic)
		}
	}
}

func TestNumbersOfTheDocumentAreThoseOfTheCode(t *testing.T) {
	doc := readDocument(t)
	for _, want := range []string{
		fmt.Sprintf("%d bytes", wire.MaxMessage), fmt.Sprintf("at most %d devices", wire.MaxDevices), "`POST " + wire.DoorPath + "`",
	} {
		if !strings.Contains(doc, want) {
			t.Errorf("the document does not say %q", want)
		}
	}
	// What both ends keep to themselves is read where it stands.
	for _, n := range []struct{ file, code, doc string }{
		{"notice.go", "len(raw) > 4<<10", "at most 4096 bytes"},
		{"../link.go", "o.AskEvery = 15 * time.Minute", "every 15 minutes"},
		{"../account/epochs.go", "keepGrants = 16", "keeps the last 16 of each"},
		{"../account/epochs.go", "grantLife = 24 * time.Hour", "an `exp` of a day"},
		{"../account/responder.go", "challengeLife = 30 * time.Second", "for 30 seconds, used once"},
		{"../account/policy.go", "PairingLife: 10 * time.Minute", "within ten minutes"},
		{"../account/policy.go", "NoticeEvery: time.Hour", "It is repeated hourly"},
		{"../broker/broker.go", "= 16 << 10         // bytes of one retained message", "each at most 16 KiB"},
		{"../device/door.go", "r.Body, 64<<10", "at most 65536 bytes"},
		{"../device/device.go", `Service = "_rekeyd._tcp"`, "`_rekeyd._tcp`"},
		{"../pairing/pairing.go", "len(f.Secret) < 22", "at least 22 characters"},
	} {
		raw, err := os.ReadFile(n.file)
		if err != nil {
			t.Error(err)
			continue
		}
		if said, is := strings.Contains(doc, n.doc), strings.Contains(string(raw), n.code); !said || !is {
			t.Errorf("%s has %q: %t; the document says %q: %t", n.file, n.code, is, n.doc, said)
		}
	}
}

// A type word of the Go code that PROTOCOL.md defines nowhere would leave an implementer guessing.
func TestEveryTypeInATableHasATableOfItsOwn(t *testing.T) {
	doc := readDocument(t)
	basic := []string{"string", "bytes", "uint64", "int64", "bool", "object", "time"}
	for _, part := range strings.Split(doc, "\n| field | type | meaning |\n")[1:] {
		tab, _, _ := strings.Cut(part, "\n\n")
		for _, m := range row.FindAllStringSubmatch(tab, -1) {
			typ := strings.TrimPrefix(strings.TrimSuffix(m[2], "?"), "list of ")
			if !slices.Contains(basic, typ) && !strings.Contains(doc, "\n### `"+typ+"`\n") {
				t.Errorf("field %s is a %s, which has no table", m[1], typ)
			}
		}
	}
}
