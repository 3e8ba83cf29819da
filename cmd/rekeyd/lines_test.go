package main

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
)

// encoded is text in UTF-16 with its mark.
func encoded(text string, littleEndian bool) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
		high, low := byte(unit>>8), byte(unit)
		if littleEndian {
			high, low = low, high
		}
		b = append(b, high, low)
	}
	return string(b)
}

func TestPasswordsAreReadInEveryEncoding(t *testing.T) {
	const text = "old-password\r\n\r\n  older \t\n\u00a0oldest"
	for name, file := range map[string]string{
		"UTF-8": text, "with a mark": "\ufeff" + text, "UTF-16LE": encoded(text, true), "UTF-16BE": encoded(text, false),
	} {
		l := newLines(strings.NewReader(file))
		var got []string
		for {
			p, err := l.password()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got = append(got, p.Reveal())
		}
		if want := []string{"old-password", "older", "oldest"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestPasswordThatNoDeviceCanHoldIsRefusedWithItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"good\ntwo words\n":                         "line 2: ",
		"good\n\ngr\u00f6\u00dfe\n":                 "line 3: ",
		strings.Repeat("x", 33):                     "line 1: ",
		"x\x00y\x00\n\x00":                          "line 1: ", // UTF-16 without a mark
		encoded("good\ngr\u00f6\u00dfe", true):      "line 2: ",
		"good\n" + string([]byte{0xff, 0xfe}) + "x": "line 2: ",
	} {
		l := newLines(strings.NewReader(text))
		var err error
		for err == nil {
			_, err = l.password()
		}
		text := err.Error()
		if !strings.HasPrefix(text, want) || strings.Contains(text, "words") || strings.Contains(text, "xxx") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// A script keeps the pipe open until the command has answered.
func TestPasswordIsReadWhileThePipeIsOpen(t *testing.T) {
	for _, text := range []string{"a\n", "\ufeffa\n", encoded("a\n", true), encoded("a\n", false)} {
		r, w := io.Pipe()
		go func() { _, _ = io.WriteString(w, text) }()
		read := make(chan string, 1)
		go func() {
			p, _ := newLines(r).password()
			read <- p.Reveal()
		}()
		select {
		case got := <-read:
			if got != "a" {
				t.Errorf("%q is read as %q", text, got)
			}
		case <-time.After(time.Minute):
			t.Errorf("%q waits for the end of the pipe", text)
		}
		_ = w.Close()
	}
}

// Laws: every password that is read can be held by a device, and lines are counted.
func FuzzPasswordLines(f *testing.F) {
	for _, seed := range []string{
		"a\nb", "\ufeffa\r\n", encoded("a\nb", true), encoded("a\nb", false), "\xff", "\xef\xbb", "\xfe\xff\x00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l := newLines(strings.NewReader(text))
		for range len(text) + 2 {
			p, err := l.password()
			if err != nil {
				return
			}
			unfit := func(r rune) bool { return r <= ' ' || r > '~' }
			if s := p.Reveal(); s == "" || len(s) > 32 || strings.ContainsFunc(s, unfit) {
				t.Fatalf("%q gives %q", text, s)
			}
		}
		t.Fatalf("%q has more passwords than bytes", text)
	})
}
