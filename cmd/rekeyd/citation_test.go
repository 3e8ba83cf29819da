package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// cited finds a page, with the sections that are named after it: "devices/PROTOCOLS.md, sections 7 to 9".
	cited = regexp.MustCompile(
		`([A-Za-z0-9_./-]+\.md)\b(?:\)?[,:]? (?:section|part)s? ((?:\d+(?:\.\d+)*(?:, | and | to )?)+))?`,
	)
	// heading is a numbered one: "## 4. IOT over XOR", "### 4.1 Transport".
	heading = regexp.MustCompile(`(?m)^#{2,4} (\d+(?:\.\d+)*)\.? `)
	number  = regexp.MustCompile(`\d+(?:\.\d+)*`)
	address = regexp.MustCompile(`https?://\S+`)
)

// citations returns what is wrong with the pages that text names. The text stands in a file of the folder dir, below
// root. A page is named from the root or from that folder.
func citations(root, dir, text string) []string {
	var wrong []string
	text = address.ReplaceAllString(text, "")
	for _, m := range cited.FindAllStringSubmatch(text, -1) {
		page, err := os.ReadFile(filepath.Join(root, m[1]))
		if err != nil {
			page, err = os.ReadFile(filepath.Join(root, dir, m[1]))
		}
		if err != nil {
			wrong = append(wrong, m[1]+" does not exist")
			continue
		}
		has := map[string]bool{}
		for _, h := range heading.FindAllStringSubmatch(string(page), -1) {
			has[h[1]] = true
		}
		for _, n := range number.FindAllString(m[2], -1) {
			if !has[n] {
				wrong = append(wrong, m[1]+" has no section "+n)
			}
		}
	}
	return wrong
}

// commentsOf returns the comments of a Go file, each as one line.
func commentsOf(path string) (string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for _, c := range file.Comments {
		all.WriteString(strings.Join(strings.Fields(c.Text()), " ") + "\n")
	}
	return all.String(), nil
}

func TestEveryCitedPageAndSectionExists(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	pages := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != root &&
			(strings.HasPrefix(name, ".") || name == "node_modules" || name == "bin") {
			return filepath.SkipDir
		}
		var text string
		switch filepath.Ext(path) {
		case ".go":
			text, err = commentsOf(path)
		case ".md":
			var raw []byte
			raw, err = os.ReadFile(path)
			text = strings.Join(strings.Fields(string(raw)), " ")
			pages++
		}
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		for _, w := range citations(root, dir, text) {
			t.Errorf("%s: %s", strings.TrimPrefix(path, root+"/"), w)
		}
		return err
	})
	if err != nil || pages < 5 {
		t.Errorf("%d pages, %v", pages, err)
	}
}

// A test that finds no broken citation proves nothing unless it finds those that are made for it.
func TestBrokenCitationsAreFound(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	const page = "# Page\n\n## 1. One\n\n### 1.2 Two\n"
	if err := os.WriteFile(filepath.Join(root, "a", "PAGE.md"), []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"see a/PAGE.md":                         "",
		"see PAGE.md.":                          "",
		"see a/PAGE.md, section 1.2.":           "",
		"[page](PAGE.md), sections 1 and 1.2":   "",
		"https://example.org/OTHER.md":          "",
		"see OTHER.md":                          "OTHER.md does not exist",
		"(b/PAGE.md)":                           "b/PAGE.md does not exist",
		"see a/PAGE.md, section 2":              "a/PAGE.md has no section 2",
		"see a/PAGE.md, sections 1 to 1.3; end": "a/PAGE.md has no section 1.3",
		"[page](PAGE.md), section 1.20":         "PAGE.md has no section 1.20",
	} {
		if got := strings.Join(citations(root, "a", text), "; "); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// SECURITY.md names the test that shows each line. The name of a test that went is a promise that nothing holds.
func TestEveryTestThatThePageOfThreatsNamesExists(t *testing.T) {
	page, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	err = filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(raw), -1) {
			tests[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(string(page), -1)
	if len(named) < 20 {
		t.Errorf("%d tests are named", len(named))
	}
	for _, m := range named {
		if !tests[m[1]] {
			t.Errorf("%s does not exist", m[1])
		}
	}
	for _, m := range regexp.MustCompile("`([a-z]+/[a-z/]+\\.(?:txtar|go))`").FindAllStringSubmatch(string(page), -1) {
		if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
			t.Error(err)
		}
	}
}
