package wire_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// declarations parses a Go file for its struct types and its constants, for what reflection cannot reach.
func declarations(t testing.TB, path string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// bodies returns the type of each body by its name.
func bodies(testing.TB) map[string]reflect.Type {
	known := map[string]reflect.Type{}
	for _, typ := range wire.AllTypes() {
		known[typ] = reflect.TypeOf(wire.NewBody(typ)).Elem()
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
		t.Errorf("%q has no heading: add it in cloudlink/PROTOCOL.md", heading)
		return nil
	}
	section, _, _ := strings.Cut(rest, "\n#")
	var rows []string
	for _, m := range row.FindAllStringSubmatch(section, -1) {
		rows = append(rows, m[1]+" "+m[2])
	}
	return rows
}

// fields returns the rows that the table of a struct has to have, in the order in which it is encoded.
func fields(typ reflect.Type) []string {
	var rows []string
	for f := range typ.Fields() {
		if f.IsExported() {
			rows = append(rows, rowOf(f.Tag.Get("json"), typeName(f.Type)))
		}
	}
	return rows
}

// rowOf returns the row of a field with a JSON tag: a number in a string is a decimal.
func rowOf(tag, typ string) string {
	name, opts, _ := strings.Cut(tag, ",")
	if strings.HasSuffix(opts, "string") {
		typ = "decimal"
	}
	if strings.HasPrefix(opts, "omit") {
		typ += "?"
	}
	return name + " " + typ
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

func TestTablesOfTheDocumentMatchTheFields(t *testing.T) {
	doc := readDocument(t)
	types := bodies(t)
	maps.Copy(types, map[string]reflect.Type{
		"keys": reflect.TypeFor[wire.Keys](), "device": reflect.TypeFor[wire.Device](),
		"broker": reflect.TypeFor[wire.Broker](),
		"proven": reflect.TypeFor[wire.Proven](), "outcome": reflect.TypeFor[wire.Outcome](),
		"envelope": reflect.TypeFor[wire.Message](), "signed notice": reflect.TypeFor[wire.Notice](),
		"joined": reflect.TypeFor[wire.Joined](),
	})
	for name, typ := range types {
		if got, want := table(t, doc, name), fields(typ); !slices.Equal(got, want) {
			t.Errorf("table of %s:\n got %v\nwant %v", name, got, want)
		}
	}
	for name, at := range map[string][2]string{
		"status": {"../state.go", "presence"}, "state": {"../state.go", "DeviceState"}, "granted": {"seal.go", "granted"},
		"pairing": {"../pairing/pairing.go", "form"},
	} {
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
			rows = append(rows, rowOf(reflect.StructTag(tag).Get("json"), declaredName(f.Type)))
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
	for _, d := range declarations(t, "membership.go").Decls {
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
		wire.NoticeTopic("{account}"): "notice", wire.StatusTopic("{hub}"): "status",
		wire.StateTopic("{account}", "{device}"): "state",
		wire.InboxTopic("hub-{id}"):              "inbox", wire.OutboxTopic("hub-{id}"): "outbox",
		wire.InboxTopic("rk-{id}"): "inbox", wire.OutboxTopic("rk-{id}"): "outbox",
	}
	got := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(rekeyd/v1/[^`]+)` \\|").FindAllStringSubmatch(readDocument(t), -1) {
		got[m[1]] = true
		topic, ok := wire.ParseTopic(strings.NewReplacer("{", "", "}", "").Replace(m[1]))
		if !ok || topic.Leaf != want[m[1]] {
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
		fmt.Sprintf("%d bytes", wire.MaxMessage), fmt.Sprintf("at most %d devices", wire.MaxDevices),
		fmt.Sprintf("sign-in and its answer %d", wire.MaxProven),
		fmt.Sprintf("up to %d in one request", wire.MaxProven), "`POST " + wire.EndpointPath + "`",
	} {
		if !strings.Contains(doc, want) {
			t.Errorf("the document does not have %q", want)
		}
	}
	// What both ends keep to themselves is read where it stands.
	for _, n := range []struct{ file, code, doc string }{
		{"notice.go", "maxNotice = 4 << 10", "at most 4096 bytes"},
		{"../link.go", "o.AskEvery = 15 * time.Minute", "every 15 minutes"},
		{"../account/boltstore/grants.go", "keepGrants = 16", "keeps the last 16 of each"},
		{"../account/link/link.go", "grantLife = 24 * time.Hour", "an `exp` of a day"},
		{"../link.go", "o.KeyLife = 24 * time.Hour", "and every 24 hours"},
		{"proof.go", "nonceLife = 10 * time.Minute", "for 10 minutes"},
		{"../account/policy.go", "PairingLife: 10 * time.Minute", "within ten minutes"},
		{"../broker/broker.go", "= 16 << 10         // bytes of one retained message", "each at most 16 KiB"},
		{"../device/endpoint.go", "r.Body, 64<<10", "at most 65536 bytes"},
		{"../device/device.go", `Service = "_rekeyd._tcp"`, "`_rekeyd._tcp`"},
		{"../pairing/pairing.go", "len(f.Secret) < 22", "at least 22 characters"},
	} {
		raw, err := os.ReadFile(n.file)
		if err != nil {
			t.Error(err)
			continue
		}
		if written, is := strings.Contains(doc, n.doc), strings.Contains(string(raw), n.code); !written || !is {
			t.Errorf("%s has %q: %t; the document has %q: %t", n.file, n.code, is, n.doc, written)
		}
	}
}

// A type word of the Go code that cloudlink/PROTOCOL.md defines nowhere would leave an implementer guessing.
func TestEveryTypeInATableHasATableOfItsOwn(t *testing.T) {
	doc := readDocument(t)
	basic := []string{"string", "bytes", "decimal", "uint8", "int64", "bool", "object", "time"}
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

// Each mechanism names the test that holds it: a test that was renamed or deleted leaves a promise without one.
func TestTheTestsThatTheDocumentNamesExist(t *testing.T) {
	declared := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, d := range declarations(t, path).Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				declared[f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(readDocument(t), "\n## Attacks\n")
	section, _, _ := strings.Cut(rest, "\n## ")
	rows := regexp.MustCompile(`(?m)^\| [^|]+ \| [^|]+ \| ([^|]+) \|$`).FindAllStringSubmatch(section, -1)
	if len(rows) < 15 {
		t.Fatalf("%d rows in the table of attacks", len(rows))
	}
	for _, row := range rows[1:] { // below the heading
		names := regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(row[1], -1)
		if len(names) == 0 {
			t.Errorf("no test: %s", row[0])
		}
		for _, n := range names {
			if !declared[n[1]] {
				t.Errorf("the document names %s, and no test is called so", n[1])
			}
		}
	}
}

// A new message is declared in the table of wire with its body, sent by one end, answered by the table of the other,
// and described in cloudlink/PROTOCOL.md. More places would have to be remembered. Files of messages that come with
// more than one other are counted for each. The check of makers' devices is a test, and not counted.
func TestAMessageTouchesFourPlacesAtMost(t *testing.T) {
	for _, typ := range wire.AllTypes() {
		body := reflect.TypeOf(wire.NewBody(typ)).Elem().Name()
		places := map[string]bool{"cloudlink/wire": true, "cloudlink/PROTOCOL.md": true}
		err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
			source := strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go")
			if err != nil || !source || strings.Contains(path, "/internal/") ||
				strings.Contains(path, "/native/check/") {
				return err
			}
			raw, err := os.ReadFile(path)
			if err == nil && regexp.MustCompile(`wire\.`+body+`\b`).Match(raw) {
				places[path] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(places) > 4 && typ != "refusal" && typ != "grant" { // two ways to both ends: by itself, and in an answer
			t.Errorf("%s is in %d places: %v", typ, len(places), slices.Sorted(maps.Keys(places)))
		}
	}
}
