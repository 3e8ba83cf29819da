package catalog_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// places are the four places of a new protocol, as devices/README.md names them: a file, and what is put before a line
// of it.
var places = []struct {
	file, before, text string
	points             string // to the place, in the output of the tests when it was forgotten
}{
	{
		"daemon/home/protocols.go", "\t{Name: IOT,", "\t{Name: Fake, Port: 81, Rank: ToldFirst, Driverless: true},\n",
		`protocol "fake" has no row: add it in daemon/home/protocols.go`,
	},
	{
		"devices/discover/classify.go", "\t{home.KasaCam, func",
		"\t{home.Fake, func(r *tapoReply) bool { return r.Type == \"FAKE\" }},\n",
		"add a rule in devices/discover/classify.go",
	},
	{"devices/fake/fake.go", "", fakeDriver, "devices/fake"},
	{
		"devices/catalog/catalog.go", "\t{[]home.Protocol{home.IOT},",
		"\t{[]home.Protocol{home.Fake}, func(Options) (Driver, error) { return fake.Driver{}, nil }},\n",
		"add it in devices/catalog/catalog.go",
	},
}

const fakeDriver = `package fake

import (
	"context"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
)

type Driver struct{}

func (Driver) Probe(ctx context.Context, d home.Device, _ home.Candidates) (home.Finding, error) {
	return failure.Finding(ctx, home.Finding{Match: home.Unknown, Device: d}, failure.ErrNoCommand)
}

func (Driver) Rekey(_ context.Context, d home.Device, _ home.Move) error {
	return failure.Rekey(d.ID, failure.ErrNoCommand)
}
`

// fakeTest stands for a conformance test: the suite itself is not run here.
const fakeTest = `package fake_test

import (
	"testing"

	"github.com/rekeyd/rekeyd/devices/drivertest"
)

func TestSuite(t *testing.T) {
	if testing.Short() {
		drivertest.Run(t, drivertest.Subject{})
	}
}
`

const (
	constant = "\tFake     Protocol = \"fake\"\n"
	imported = "\t\"github.com/rekeyd/rekeyd/devices/fake\"\n"
	fakeFile = "devices/fake/fake_test.go"
)

// A protocol is added in four places, and a test names the one that is missing. The edits are an overlay of the build:
// the tree stays as it is.
func TestProtocolIsAddedInFourPlaces(t *testing.T) {
	if out, err := runWith(t, -1, true); err != nil {
		t.Fatalf("with all four places: %v\n%s", err, out)
	}
	for i, p := range places {
		if out, err := runWith(t, i, true); err == nil || !strings.Contains(out, p.points) {
			t.Errorf("without %s: %v, want a test that names %q:\n%s", p.file, err, p.points, out)
		}
	}
	const want = "devices/fake: no test calls drivertest.Run"
	if out, err := runWith(t, -1, false); err == nil || !strings.Contains(out, want) {
		t.Errorf("without a conformance test: %v, want %q:\n%s", err, want, out)
	}
}

// runWith runs the tests that guard the places with all places but the one that was forgotten.
func runWith(t *testing.T, forgotten int, suite bool) (string, error) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	if suite {
		texts[fakeFile] = fakeTest
	}
	for i, p := range places {
		if p.before == "" {
			if i != forgotten {
				texts[p.file] = p.text
			}
			continue
		}
		raw, err := os.ReadFile(filepath.Join(root, p.file))
		if err != nil {
			t.Fatal(err)
		}
		text := string(raw)
		if i != forgotten {
			text = insert(t, text, p.before, p.text)
		}
		switch p.file {
		case "daemon/home/protocols.go":
			text = insert(t, text, "\tIOT      Protocol =", constant)
		case "devices/catalog/catalog.go":
			if i != forgotten {
				text = insert(t, text, "\t\"github.com/rekeyd/rekeyd/devices/iot\"", imported)
			}
		}
		texts[p.file] = text
	}
	dir := t.TempDir()
	replace := map[string]string{}
	for file, text := range texts {
		replace[filepath.Join(root, file)] = filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		write(t, replace[filepath.Join(root, file)], []byte(text))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "overlay.json"), overlay)
	cmd := exec.Command(
		"go", "test", "-vet=off", "-count=1", "-run", "^(TestEveryProtocol|TestEveryDriver)", "./devices/discover",
		"./devices/catalog",
	)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOFLAGS=-overlay="+filepath.Join(dir, "overlay.json")) // for the go list within, too
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// insert puts more before the first line of text that begins with before.
func insert(t *testing.T, text, before, more string) string {
	t.Helper()
	i := strings.Index(text, "\n"+before)
	if i < 0 {
		t.Fatalf("no line begins with %q", before)
	}
	return text[:i+1] + more + text[i+1:]
}

func write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
