package language_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/rekeyd/rekeyd/cloudlink/account/language"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// every calls do with each text of v, by its path.
func every(t *testing.T, path string, v reflect.Value, do func(path, text string)) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		do(path, v.String())
	case reflect.Struct:
		for i := range v.NumField() {
			every(t, path+"."+v.Type().Field(i).Name, v.Field(i), do)
		}
	case reflect.Array:
		for i := range v.Len() {
			every(t, path, v.Index(i), do)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			every(t, path+"["+fmt.Sprint(k)+"]", v.MapIndex(k), do)
		}
	case reflect.Func:
		if v.IsNil() {
			t.Errorf("%s is missing", path)
			return
		}
		var in []reflect.Value
		for i := range v.Type().NumIn() {
			switch v.Type().In(i) {
			case reflect.TypeFor[int]():
				in = append(in, reflect.ValueOf(21))
			case reflect.TypeFor[time.Duration]():
				in = append(in, reflect.ValueOf(22*time.Minute))
			case reflect.TypeFor[time.Time]():
				in = append(in, reflect.ValueOf(time.Date(2026, 3, 4, 5, 6, 0, 0, time.UTC)))
			case reflect.TypeFor[bool]():
				in = append(in, reflect.ValueOf(true))
			case reflect.TypeFor[string]():
				in = append(in, reflect.ValueOf("kasa"))
			default:
				return // texts of mails are looked at where they are made
			}
		}
		for _, out := range v.Call(in) {
			every(t, path+"()", out, do)
		}
	}
}

func TestEveryLanguageHasEveryText(t *testing.T) {
	texts := map[string]map[string]string{}
	for _, l := range language.All() {
		texts[l.Tag] = map[string]string{}
		every(t, "", reflect.ValueOf(*l), func(path, text string) {
			texts[l.Tag][path] = text
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s: %s is empty", l.Tag, path)
			}
			if strings.Contains(text, "%!") || strings.Contains(text, "  ") {
				t.Errorf("%s: %s is %q", l.Tag, path, text)
			}
			cyrillic := strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Cyrillic, r) })
			if l.Tag == "en" && cyrillic || l.Tag == "ru" && !cyrillic && !strings.HasSuffix(path, ".Tag") {
				t.Errorf("%s: %s is in another language: %q", l.Tag, path, text)
			}
		})
	}
	for path := range texts["en"] {
		for tag := range texts {
			if _, ok := texts[tag][path]; !ok {
				t.Errorf("%s lacks %s", tag, path)
			}
		}
	}
	if len(texts["en"]) < 100 {
		t.Errorf("only %d texts were looked at", len(texts["en"]))
	}
}

func TestTheLanguageIsTheOneThatTheBrowserPrefers(t *testing.T) {
	for header, want := range map[string]string{
		"": "en", "ru": "ru", "ru-RU,ru;q=0.9,en;q=0.8": "ru", "en-GB,en;q=0.9,ru;q=0.8": "en", "de,ru;q=0.3": "ru",
		"de": "en", "RU": "ru",
		"en;q=0.1, ru;q=0.2": "ru", "ru;q=0": "en", "ru;q=7": "en", "ru;q=x": "en", ";;,,q=1": "en", "*": "en",
		strings.Repeat("ru,", 1000): "en",
	} {
		if got := language.Accepted(header).Tag; got != want {
			t.Errorf("%.40q: %s, want %s", header, got, want)
		}
	}
	for tag, want := range map[string]string{"ru": "ru", "ru-RU": "ru", "en": "en", "": "en", "xx": "en"} {
		if got := language.Of(tag).Tag; got != want {
			t.Errorf("%q: %s, want %s", tag, got, want)
		}
	}
}

func TestNumbersAndTimesFollowTheLanguage(t *testing.T) {
	ru := language.Russian().Site
	for n, want := range map[int]string{
		1: "1 устройство", 2: "2 устройства", 4: "4 устройства", 5: "5 устройств", 11: "11 устройств",
		12: "12 устройств", 21: "21 устройство", 102: "102 устройства", 111: "111 устройств",
	} {
		if got := ru.Hub("x", n); got != "x ("+want+")" {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	at := time.Date(2026, 11, 23, 16, 5, 0, 0, time.FixedZone("", 3600))
	if got := ru.Time(at); got != "23 ноября 2026 г., 15:05 UTC" {
		t.Error(got)
	}
	en := language.English().Site
	if got := en.Time(at); got != "23 November 2026, 15:05 UTC" {
		t.Error(got)
	}
	if got := en.Progress(1, 1) + " " + en.Progress(3, 4); got != "1 of 1 device is signed in again. 3 of 4 devices are "+
		"signed in again." {
		t.Error(got)
	}
}

func TestAnAcceptLanguageHeaderIsReadWithoutBuildingAnyTexts(t *testing.T) {
	language.Of("en") // the texts are built once
	for _, header := range []string{
		strings.Repeat("ru,", 341), strings.Repeat("q,", 512), strings.Repeat(",", 1024), strings.Repeat("ru;q=0.1,", 113),
		strings.Repeat("a-", 512),
	} {
		if n := testing.AllocsPerRun(10, func() { language.Accepted(header) }); n > 0 {
			t.Errorf("%.20q, %d bytes: %v allocations, want none", header, len(header), n)
		}
	}
}

func BenchmarkAccepted(b *testing.B) {
	header := strings.Repeat("de,", 341)
	for b.Loop() {
		language.Accepted(header)
	}
}

// TestEveryVerdictHasItsWords reads the states from the constants of package home: a new one without words fails here.
func TestEveryVerdictHasItsWords(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../../daemon/home/verdict.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == "State" {
			word, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			states = append(states, word)
		}
		return true
	})
	if len(states) < 14 || !slices.Contains(states, string(home.Pending)) {
		t.Fatalf("only the states %v were found", states)
	}
	for _, s := range states {
		if !slices.Contains(home.States(), home.State(s)) {
			t.Errorf("home.States lacks %q", s)
		}
	}
	for _, l := range language.All() {
		for _, s := range states {
			if l.Site.Verdicts[s] == "" {
				t.Errorf("%s has no words for the verdict %q", l.Tag, s)
			}
		}
		for s := range l.Site.Verdicts {
			if !slices.Contains(states, s) {
				t.Errorf("%s has words for %q, which is no verdict", l.Tag, s)
			}
		}
		for s := range l.Site.Hints {
			if !slices.Contains(states, s) {
				t.Errorf("%s has a hint for %q, which is no verdict", l.Tag, s)
			}
		}
	}
}
