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
var suggested = regexp.MustCompile(`(?:: +|<code>)rekeyd (` + suggestedWord + `(?: ` + suggestedWord + `)*)( $)?`)

// suggestedCommands returns the commands in hints, messages, pages and the README, each with the place of the first.
func suggestedCommands(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	add := func(words, place string) {
		if found[words] == "" {
			found[words] = place
		}
	}
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
				words := m[1]
				if m[2] != "" { // the argument is appended to the text
					words += " ARGUMENT"
				}
				add(words, path)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range readmeCommands(t) {
		add(line, "README.md")
	}
	return found
}

// TestEverySuggestedCommandIsUnderstood checks that each exists, with its flags, and with as many arguments as it
// needs.
func TestEverySuggestedCommandIsUnderstood(t *testing.T) {
	all := suggestedCommands(t)
	for words, place := range all {
		if err := understood(strings.Fields(words)); err != nil {
			t.Errorf("%s suggests: rekeyd %s: %v", place, words, err)
		}
	}
	if len(all) < 30 {
		t.Errorf("only %d commands found: does the pattern still match?", len(all))
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
