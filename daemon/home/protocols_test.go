package home_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// declaredProtocols returns the values of all constants of the type Protocol, as the source has them.
func declaredProtocols(t *testing.T) []home.Protocol {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "protocols.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []home.Protocol
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		typ, isIdent := v.Type.(*ast.Ident)
		if text, isText := v.Values[0].(*ast.BasicLit); isIdent && typ.Name == "Protocol" && isText {
			name, err := strconv.Unquote(text.Value)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, home.Protocol(name))
		}
		return true
	})
	return found
}

func TestEveryProtocolHasOneRowInOrder(t *testing.T) {
	rows := home.Protocols()
	var names []home.Protocol
	for _, r := range rows {
		names = append(names, r.Name)
		if r.Port == 0 || r.Rank < home.ToldFirst || r.Rank > home.ProvesFirst {
			t.Errorf("%s: port %d, rank %d: the row is not filled in", r.Name, r.Port, r.Rank)
		}
		if r.Cleartext && r.Rank != home.ToldFirst {
			t.Errorf("%s: a password in the clear is of the rank told-first, not %s", r.Name, r.Rank)
		}
		if r.Name.Info() != r || r.Name.Port() != r.Port || r.Name.Cleartext() != r.Cleartext {
			t.Errorf("%s: the row is %+v, Info returns %+v", r.Name, r, r.Name.Info())
		}
	}
	if !slices.IsSortedFunc(names, func(a, b home.Protocol) int { return strings.Compare(string(a), string(b)) }) {
		t.Errorf("not in the order of the names: %q", names)
	}
	declared := declaredProtocols(t)
	if slices.Sort(declared); !slices.Equal(declared, names) {
		t.Errorf("protocols.go: constants %q, rows %q", declared, names)
	}
	rows[0].Port = 1
	if home.Protocols()[0].Port == 1 {
		t.Error("a caller can change the table")
	}
	if home.Protocol("mqtt").Info() != (home.ProtocolInfo{}) || home.Protocol("").Port() != 0 {
		t.Error("an unknown protocol has a row")
	}
}

func TestProofRanksAreOrderedAndNamed(t *testing.T) {
	if !(home.ToldFirst < home.HashFirst && home.HashFirst < home.ProvesFirst) {
		t.Error("a stronger proof is not the higher rank")
	}
	for want, r := range map[string]home.ProofRank{
		"no-proof": 0, "told-first": home.ToldFirst,
		"hash-first": home.HashFirst, "proves-first": home.ProvesFirst,
	} {
		if r.String() != want {
			t.Errorf("rank %d is %q, want %q", r, r, want)
		}
	}
}

func TestFindingLowersTheRankAndNeverRaisesIt(t *testing.T) {
	for _, c := range []struct {
		protocol home.Protocol
		rank     home.ProofRank
		want     home.ProofRank
	}{
		{home.TapoCam, 0, home.ProvesFirst},
		{home.TapoCam, home.HashFirst, home.HashFirst},
		{home.IOT, home.ProvesFirst, home.ToldFirst},
		{home.SmartAES, 0, home.ToldFirst},
		{"", home.ProvesFirst, 0},
	} {
		f := home.Finding{Device: home.Device{Protocol: c.protocol}, Rank: c.rank}
		if got := f.ProofRank(); got != c.want {
			t.Errorf("%q with %s: got %s, want %s", c.protocol, c.rank, got, c.want)
		}
	}
}
