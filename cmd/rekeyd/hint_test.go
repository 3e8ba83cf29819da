package main

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// suggestedWord is a command, a flag, an argument in capitals, or one that is formatted in.
const suggestedWord = `(?:[a-z][a-z-]*|--[a-z-]+(?:=\w+)?|[A-Z]+|%s)`

// suggested finds a command in a text for people: after a colon, or in <code>. A word in capitals stands for an
// argument.
var suggested = regexp.MustCompile(
	`(?:: +|<code>)rekeyd (` + suggestedWord + `(?: ` + suggestedWord + `)*)( $)?`,
)

// TestEverySuggestedCommandWorks checks the commands in hints, messages and pages: each exists, with its flags, and
// with as many arguments as it needs.
func TestEverySuggestedCommandWorks(t *testing.T) {
	found := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			lit, is := n.(*ast.BasicLit)
			if !is || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range suggested.FindAllStringSubmatch(text, -1) {
				found++
				words := strings.Fields(m[1])
				if m[2] != "" { // the argument is appended to the text
					words = append(words, "ARGUMENT")
				}
				if err := understood(words); err != nil {
					t.Errorf("%s suggests: rekeyd %s: %v", path, strings.Join(words, " "), err)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 30 {
		t.Errorf("only %d commands found: does the pattern still match?", found)
	}
}

// understood returns what is wrong with a command line, as far as that shows before the command runs.
func understood(words []string) error {
	c, rest, err := newRoot().Find(words)
	if err != nil {
		return err
	}
	if err := c.ParseFlags(rest); err != nil && !errors.Is(err, pflag.ErrHelp) {
		return err
	}
	if c.Args == nil {
		return nil
	}
	return c.Args(c, c.Flags().Args())
}
