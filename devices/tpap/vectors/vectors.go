// Package vectors has exchanges of TPAP with all their intermediate values, computed by programs that others wrote:
// vectors.txt names them. Only tests import it.
package vectors

import (
	_ "embed"
	"encoding/hex"
	"strings"
	"testing"
)

//go:embed vectors.txt
var text string

// Case is one exchange. Values are as in the file; some cases leave some out.
type Case struct {
	Name    string
	values  map[string]string
	Records []Record
}

// Record is a message in the session of a case, and its sealed form with the sequence number before it.
type Record struct {
	Text   string
	Sealed []byte
}

// All returns the cases in the order of the file.
func All(t testing.TB) []Case {
	t.Helper()
	var all []Case
	for _, part := range strings.Split(text, "\n-- ")[1:] {
		lines := strings.Split(strings.TrimSpace(part), "\n")
		c := Case{Name: lines[0], values: map[string]string{}}
		for _, line := range lines[1:] {
			name, value, _ := strings.Cut(line, " ")
			switch name {
			case "text":
				c.Records = append(c.Records, Record{Text: value})
			case "record":
				c.Records[len(c.Records)-1].Sealed = decode(t, value)
			default:
				c.values[name] = value
			}
		}
		all = append(all, c)
	}
	return all
}

// Text returns a value as it stands in the file.
func (c Case) Text(t testing.TB, name string) string {
	t.Helper()
	v, ok := c.values[name]
	if !ok {
		t.Fatalf("case %s has no %s", c.Name, name)
	}
	return v
}

// Bytes returns a hexadecimal value.
func (c Case) Bytes(t testing.TB, name string) []byte {
	t.Helper()
	return decode(t, c.Text(t, name))
}

// Has reports whether the case has the value.
func (c Case) Has(name string) bool { _, ok := c.values[name]; return ok }

func decode(t testing.TB, s string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
