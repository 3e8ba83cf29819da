//go:build linux

package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// TestTheLogIsForItsReader starts the daemon at a terminal, where people read text, and with a pipe, where programs
// read JSON.
func TestTheLogIsForItsReader(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	args := []string{"run", "--state", t.TempDir(), "--interface", "lo", "--socket", t.TempDir() + "/s"}
	x := newTerminal(t)
	cmd := x.start(args...)
	x.holds(`level=INFO msg="rekeyd runs"`)
	x.types("\x03")
	if code, shown := x.ended(cmd); code != exitOK || strings.Contains(shown, `{"`) {
		t.Errorf("it ended with %d:\n%s", code, shown)
	}

	self, err := exec.LookPath("rekeyd")
	ok(t, err)
	piped := exec.Command(self, append(args, "--tls", "auto", "--verbose")...)
	var log output
	piped.Stderr = &log
	ok(t, piped.Start())
	defer func() { _ = piped.Wait() }()
	defer func() { _ = piped.Process.Kill() }()
	awaitText(t, &log, `"msg":"rekeyd runs"`)
	lines := strings.Split(log.String(), "\n")
	for _, line := range lines[:len(lines)-1] {
		var record struct{ Time, Level, Msg string }
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.Time == "" || record.Msg == "" {
			t.Errorf("no record: %s: %v", line, err)
		}
	}
}
