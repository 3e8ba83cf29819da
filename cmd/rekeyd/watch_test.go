//go:build linux

package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// resize gives the terminal a size.
func (x *pty) resize(columns, lines uint16) *pty {
	x.t.Helper()
	size := [4]uint16{lines, columns}
	ioctl(x.t, x.tty, syscall.TIOCSWINSZ, unsafe.Pointer(&size))
	return x
}

// holds waits until the terminal has shown a text.
func (x *pty) holds(text string) {
	x.t.Helper()
	awaitText(x.t, &x.shown, text)
}

// awaitText waits until a program has printed a text.
func awaitText(t *testing.T, shown *output, text string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(shown.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never printed %q, but:\n%s", text, shown.String())
		}
	}
}

// rendition finds escape sequences for colours and the cursor.
var rendition = regexp.MustCompile(`\x1b\[[0-9;]*[mAJK]`)

// aHouseOfLamps runs a daemon with lamps that hold its account's password, one of another house, and one whose name is
// in a script of two columns. All but the last two are bound.
func aHouseOfLamps(t *testing.T) *rig {
	t.Helper()
	const password = "first-Horse-Battery"
	var specs []sim.Spec
	for i := 12; i > 0; i-- {
		specs = append(specs, sim.Spec{
			Kind: home.Plug, Protocol: home.KLAP2, Name: fmt.Sprint("lamp ", i), Username: rigEmail,
			Password: home.NewSecret(password),
		})
	}
	specs[0].Name = "玄関の電球"
	specs = append(specs, sim.Spec{
		Kind: home.Plug, Protocol: home.KLAP2, Name: "of Bob", Username: "bob@example.org",
		Password: home.NewSecret("of-bob"),
	})
	r := newRigOf(t, specs)
	r.start()
	r.await("daemon", time.Minute, answers)
	for _, words := range [][]string{{"register", rigEmail, "--password-stdin"}, {"login", rigEmail, "--password-stdin"}} {
		if out, err := r.rekeyd(password, words...); err != nil {
			t.Fatalf("%s: %s", words, out)
		}
	}
	r.await("proofs", time.Minute, func(s daemon.Status) bool {
		return daemon.Summarize(s.Devices).Ours == 12 && len(s.Devices) == 13
	})
	for i := range 11 {
		if out, err := r.rekeyd("", "bind", fmt.Sprint("lamp ", i+1)); err != nil {
			t.Fatal(out)
		}
	}
	r.await("house", time.Minute, func(s daemon.Status) bool { return daemon.Summarize(s.Devices).Kept == 11 })
	return r
}

// TestAnOwnerReadsTheHouseAtATerminal reads lists at terminals of several sizes, watches a device being renamed, and
// unbinds the house.
func TestAnOwnerReadsTheHouseAtATerminal(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	r := aHouseOfLamps(t)
	for _, columns := range []uint16{40, 80, 200} {
		x := newTerminal(t).resize(columns, 24)
		code, shown := x.ended(x.start("--state", r.state, "devices"))
		if code != exitOK || !strings.Contains(shown, "\x1b[") {
			t.Errorf("%d columns: it ended with %d, without colour:\n%s", columns, code, shown)
		}
		shown = rendition.ReplaceAllString(shown, "")
		for line := range strings.Lines(shown) {
			if line = strings.TrimRight(line, "\r\n"); terminal.Width(line) > int(columns) {
				t.Errorf("%d columns: %q takes %d", columns, line, terminal.Width(line))
			}
		}
		two, ten := strings.Index(shown, "lamp 2 "), strings.Index(shown, "lamp 10 ")
		if kept, others := strings.Index(shown, "Kept (11)"), strings.Index(shown, "Others (2)"); kept < 0 || two < kept ||
			ten < two || others < ten || !strings.Contains(shown, "1 more is yours: rekeyd bind --all") {
			t.Errorf("%d columns:\n%s", columns, shown)
		}
	}
	out, err := r.rekeyd("", "status", "--wide")
	line := regexp.MustCompile(`(?m)^lamp 2 .*yes .*mac-\S+ +plug +klap2`)
	if err != nil || strings.ContainsAny(out, "\x1b●▲") || !line.MatchString(out) {
		t.Errorf("without a terminal: %v\n%s", err, out)
	}

	x := newTerminal(t).resize(80, 24)
	watch := x.start("--state", r.state, "watch")
	x.holds("Ctrl-C ends this.")
	if out, err := r.rekeyd("", "rename", "lamp 3", "tea kettle"); err != nil {
		t.Errorf("rename: %s", out)
	}
	x.holds("tea kettle")
	x.types("\x03")
	code, shown := x.ended(watch)
	if code != exitOK || !strings.Contains(shown, "11 devices are on your newest password") {
		t.Errorf("watch ended with %d:\n%s", code, shown)
	}
	out, err = r.rekeyd("", "probe", "Tea Kettle")
	if err != nil || !strings.Contains(out, "tea kettle") {
		t.Errorf("by its new name: %v\n%s", err, out)
	}
	out, _ = r.rekeyd("", "rekey", "tea ketle")
	if !strings.Contains(out, "did you mean 'tea kettle'?") {
		t.Errorf("a misspelled name: %s", out)
	}
	out, _ = r.rekeyd("", "__complete", "bind", "")
	if !strings.Contains(out, "tea kettle\tholds the newest password\n") {
		t.Errorf("completion: %s", out)
	}

	for _, c := range []struct {
		answer      string
		code, bound int
	}{{"n\n", exitOK, 11}, {"\x03", exitFailed, 11}, {"y\n", exitOK, 0}} {
		x := newTerminal(t).resize(80, 24)
		cmd := x.start("--state", r.state, "unbind", "--all")
		x.shows("Unbind 11 devices? rekeyd then keeps none of them signed in. [y/N]: ")
		x.types(c.answer)
		code, shown := x.ended(cmd)
		s, err := r.status()
		ok(t, err)
		if got := daemon.Summarize(s.Devices).Bound(); got != c.bound || code != c.code || strings.Contains(shown, "--yes") {
			t.Errorf("answer %q: %d are bound, it ended with %d:\n%s", c.answer, got, code, shown)
		}
	}
	if out, _ := r.rekeyd("", "forget", "lamp 4"); !strings.Contains(out, "it is here") {
		t.Errorf("forget: %s", out)
	}
}

// TestWatchPrintsLinesWithoutATerminal follows a house through a restart of its daemon.
func TestWatchPrintsLinesWithoutATerminal(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	r := aHouseOfLamps(t)
	var shown output
	watch := r.command("watch")
	watch.Stdout, watch.Stderr = &shown, &shown
	ok(t, watch.Start())
	holds := func(text string) {
		t.Helper()
		awaitText(t, &shown, text)
	}
	holds("  lamp 2  holds the newest password\n")
	r.kill()
	holds("  the daemon does not answer\n")
	r.start()
	r.await("the name that the device gives", time.Minute, func(s daemon.Status) bool {
		_, err := daemon.Named(s.Devices, []string{"lamp 2"})
		return err == nil && answers(s)
	})
	if out, err := r.rekeyd("", "rename", "lamp 2", "tea kettle"); err != nil {
		t.Errorf("rename: %s", out)
	}
	holds("  tea kettle  ")
	ok(t, watch.Process.Signal(syscall.SIGINT))
	if err := watch.Wait(); err != nil {
		t.Errorf("watch ended with %v", err)
	}
	lines := strings.Split(strings.TrimSpace(shown.String()), "\n")
	if slices.ContainsFunc(lines, func(l string) bool { return !regexp.MustCompile(`^\d\d:\d\d:\d\d  `).MatchString(l) }) {
		t.Errorf("printed:\n%s", shown.String())
	}
}
