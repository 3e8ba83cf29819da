//go:build linux

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// shows waits until the text of the terminal ends with one of the texts.
func (x *pty) shows(prompt string) {
	x.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if strings.HasSuffix(x.shown.String(), prompt) {
			return
		}
	}
	x.t.Fatalf("it never asked %q; it showed %q", prompt, x.shown.String())
}

// TestTheOwnerIsAskedAtTheirTerminal has a person bind a device that takes its password in the clear, and remember
// an older password.
func TestTheOwnerIsAskedAtTheirTerminal(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	r := newRig(t, "plug:iot=1")
	r.start()
	r.await("daemon", time.Minute, answers)
	for _, args := range [][]string{{"register", rigEmail, "--password-stdin"}, {"login", rigEmail, "--password-stdin"}} {
		if out, err := r.rekeyd("password-of-anna", args...); err != nil {
			t.Fatalf("%v: %s", args, out)
		}
	}
	r.await(
		"house",
		time.Minute,
		func(s daemon.Status) bool { return len(s.Devices) == 1 && s.Devices[0].Match != "unknown" },
	)

	x := newTerminal(t)
	cmd := x.start("--state", r.state, "bind", "plug-1")
	x.shows("Allow that? [y/N]: ")
	x.types("y\n")
	if code, shown := x.ended(cmd); code != 0 || !strings.Contains(shown, "1 device bound") ||
		!strings.Contains(shown, "plug-1: a password for it crosses your network nearly in the clear") {
		t.Errorf("it ended with %d and showed %q", code, shown)
	}
	r.await("house bound", time.Minute, allCurrent(1, 1))

	// Unbinding withdraws the consent.
	if out, err := r.rekeyd("", "unbind", "plug-1"); err != nil {
		t.Fatal(out)
	}
	x = newTerminal(t)
	cmd = x.start("--state", r.state, "bind", "plug-1")
	x.shows("[y/N]: ")
	x.types("n\n")
	if code, shown := x.ended(cmd); code != 0 || !strings.Contains(shown, "[y/N]") {
		t.Errorf("not asked again: it ended with %d and showed %q", code, shown)
	}

	x = newTerminal(t)
	cmd = x.start("--state", r.state, "import")
	prompt := ""
	for _, typed := range []string{"remembered-one\n", "remembered-two\n", "\n"} {
		prompt += "Earlier password (Enter alone ends): "
		x.asked(prompt)
		x.types(typed)
		prompt += "\r\n"
	}
	if code, shown := x.ended(cmd); code != 0 || strings.Contains(shown, "remembered-") ||
		!strings.Contains(shown, "2 of 2 passwords are new") {
		t.Errorf("it ended with %d and showed %q", code, shown)
	}
}
