package cloudlink_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// messagePlaces are the four places of a new message, as PROTOCOL.md names them: a file, and what is put before a line
// of it, and more text at its end.
var messagePlaces = []struct {
	file, before, row, text string
	points                  string // to the place, in the output of the tests when it was forgotten
}{
	{
		"cloudlink/wire/relaying.go", "\t{\"relayed\",", "\t{\"remark\", Outbox, body[Remark]},\n", `
// Remark is a text of a hub.
type Remark struct {
	Account string ` + "`json:\"account\"`" + `
	Text    string ` + "`json:\"text\"`" + `
}

func (b *Remark) check() error { return first(names(b.Account), text(b.Text)) }
`, "undefined: wire.Remark",
	},
	{
		"cloudlink/messages.go", "\t\"relayed\":", "\t\"remark\": {answer: \"receipt\", send: (*Link).sendRemark},\n", `
func (l *Link) sendRemark(now time.Time, _ home.Account, r *request, _ []string) error {
	return l.start(now, r, func(string) wire.Body { return &wire.Remark{Account: r.account, Text: "warm"} })
}
`, `message "remark" has no row: add it in cloudlink/messages.go`,
	},
	{
		"cloudlink/account/link/messages.go", "\t\"relayed\":", "\t\"remark\": {change, handle((*request).remark)},\n", `
func (r *request) remark(b *wire.Remark) ([]wire.Body, error) {
	if b.Text != "warm" {
		return nil, nil
	}
	return r.receipt(nil)
}
`, `message "remark" has no row: add it in cloudlink/account/link/messages.go`,
	},
	{
		"cloudlink/PROTOCOL.md", "### `relayed`", remarkPage, "", `"remark" has no heading: add it in cloudlink/PROTOCOL.md`,
	},
}

const remarkPage = "### `remark`\n\n" + `Hub to service. Answered by ` + "`receipt`" + `.

| field | type | meaning |
|---|---|---|
| ` + "`account` | string | |\n| `text` | string | |" + `

<!-- example: remark -->
` + "```json" + `
{
  "type": "remark",
  "id": "remark22222222222222222222",
  "from": "hub-gr2q7gf5lh6pzfdnurnkvputhp",
  "to": "svc-owmxo3bqqxr7twqncmdr5mfuvn",
  "seq": "12884901999",
  "at": 1767225600000,
  "body": {
    "account": "k3v9d2m7q4xw8z1b",
    "text": "warm"
  }
}
` + "```" + `

`

// remarkTest sends the new message from a hub to the service: its errand ends with the service's answer only.
const remarkTest = `package cloudlink_test

import (
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestRemark(t *testing.T) {
	h := open(t, "")
	hub := h.hub(nil)
	hub.enrol()
	must(t, hub.store.Queue([]home.Errand{{Kind: "remark", At: time.Now()}}))
	hub.link.Wake()
	eventually(t, time.Minute, "the answer to the remark", func() bool {
		es, err := hub.store.Errands(10)
		must(t, err)
		return len(es) == 0
	})
}
`

// A message is added in four places, and a test points to the one that was forgotten. The edits are an overlay of the
// build: the tree stays as it is.
func TestMessageIsAddedInFourPlaces(t *testing.T) {
	if len(messagePlaces) > 4 {
		t.Errorf("%d places", len(messagePlaces))
	}
	if out, err := withMessage(t, -1); err != nil {
		t.Fatalf("with all four places: %v\n%s", err, out)
	}
	for i, p := range messagePlaces {
		if out, err := withMessage(t, i); err == nil || !strings.Contains(out, p.points) {
			t.Errorf("without %s: %v, want a test that names %q:\n%s", p.file, err, p.points, out)
		}
	}
}

// withMessage runs the tests that guard the places, with all places but the one that was forgotten; -1 for none. With
// none forgotten, the message is sent, too.
func withMessage(t *testing.T, forgotten int) (string, error) {
	t.Helper()
	root, err := filepath.Abs("..")
	must(t, err)
	run, dir := "^(TestEveryMessage|TestTablesOfTheDocument|TestExamplesOfTheDocument)", t.TempDir()
	replace := map[string]string{}
	put := func(file, text string) {
		to := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		replace[filepath.Join(root, file)] = to
		must(t, os.WriteFile(to, []byte(text), 0o600))
	}
	if forgotten < 0 {
		run += "|^TestRemark$"
		put("cloudlink/remark_test.go", remarkTest)
	}
	document := filepath.Join(root, "cloudlink/PROTOCOL.md")
	for i, p := range messagePlaces {
		if i == forgotten {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(root, p.file))
		must(t, err)
		before, after, ok := strings.Cut(string(raw), "\n"+p.before)
		if !ok {
			t.Fatalf("%s: no line begins with %q", p.file, p.before)
		}
		put(p.file, before+"\n"+p.row+p.before+after+p.text)
	}
	if to, ok := replace[document]; ok { // no build reads it
		delete(replace, document)
		document = to
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
	cmd := exec.Command(
		"go", "test", "-vet=off", "-count=1", "-run", run, "-overlay", filepath.Join(dir, "overlay.json"),
		"./cloudlink/wire", "./cloudlink", "./cloudlink/account/link",
	)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "REKEYD_PROTOCOL="+document)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
