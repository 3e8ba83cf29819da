//go:build linux

package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// TestEverySuggestedCommandRuns types each command that is printed anywhere, as it stands, at a terminal beside a
// running daemon. A question is left with Ctrl-C. The command line must be right, and the daemon must be found.
func TestEverySuggestedCommandRuns(t *testing.T) {
	t.Parallel()
	all := suggestedCommands(t)
	if !nettest.InNamespace(t) {
		return
	}
	r := newRig(t, "plug:klap2=1")
	r.start()
	r.await("daemon", time.Minute, answers)
	for words, place := range all {
		args := strings.Fields(words)
		switch args[0] {
		case "simulate", "demo", "account", "install": // they end when they are ended, or need another machine
			continue
		}
		if slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "http") }) {
			continue // an account service elsewhere
		}
		x := newTerminal(t)
		cmd := x.start(append([]string{"--state", r.state}, args...)...)
		code, shown := x.interrupted(cmd)
		status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if code < 0 && status.Signal() != syscall.SIGINT || code == exitUsage || code == exitUnavailable {
			t.Errorf("%s suggests: rekeyd %s: it ends with %d:\n%s", place, words, code, shown)
		}
	}
}

// interrupted presses Ctrl-C at the first question, and waits for the program.
func (x *pty) interrupted(cmd *exec.Cmd) (code int, shown string) {
	x.t.Helper()
	asking, stop := time.NewTicker(10*time.Millisecond), make(chan struct{})
	silent := slices.Contains(cmd.Args, "--password-stdin") // it reads without a question
	go func() {
		defer asking.Stop()
		pressed := -1 // how much was shown when the keys were pressed: once a question
		for {
			select {
			case <-asking.C:
				shown := x.shown.String()
				if len(shown) > pressed && (silent && pressed < 0 || strings.HasSuffix(shown, ": ")) {
					pressed = len(shown)
					_, _ = x.person.WriteString("\x03")
				}
			case <-stop:
				return
			}
		}
	}()
	defer close(stop)
	return x.ended(cmd)
}

// TestInstallWithGo installs the program as the README names it.
func TestInstallWithGo(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	cmd := exec.Command("go", "install", ".")
	cmd.Env = append(cmd.Environ(), "GOBIN="+bin, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(filepath.Join(bin, "rekeyd"), "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "rekeyd ") {
		t.Fatalf("%v: %s", err, out)
	}
}
