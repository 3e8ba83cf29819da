//go:build linux

package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/supervisor"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/localstore"
)

// unprivileged is a user ID without any right, as DynamicUser= gives one.
const unprivileged = 64_999

// systemd plays the service manager for one start of a unit.
type systemd struct {
	t      *testing.T
	socket *net.UnixConn
	dir    string // of everything; state and credentials are below
	bin    string
	log    output
	cmd    *exec.Cmd
}

// newSystemd makes the directories that a unit asks for, owned by a user without rights, and the socket for
// notifications.
func newSystemd(t *testing.T) *systemd {
	t.Helper()
	dir, err := os.MkdirTemp("", "unit") // t.TempDir is closed to other users
	ok(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &systemd{t: t, dir: dir, bin: filepath.Join(dir, "rekeyd")}
	build(t, s.bin)
	for _, name := range []string{"state", "credentials"} {
		ok(t, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	ok(t, os.WriteFile(filepath.Join(dir, "credentials", "rekeyd-vault"), []byte(strings.Repeat("k", 32)), 0o400))
	ok(t, os.WriteFile(filepath.Join(dir, "credentials", "policy"), []byte(`{"activation": false}`), 0o400))
	s.socket, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	ok(t, err)
	t.Cleanup(func() { _ = s.socket.Close() })
	for _, name := range []string{
		".", "notify", "state", "credentials", "credentials/rekeyd-vault", "credentials/policy",
	} {
		ok(t, os.Chown(filepath.Join(dir, name), unprivileged, unprivileged))
	}
	return s
}

// start runs ExecStart= of the unit.
func (s *systemd) start(unit string, watchdog time.Duration) {
	s.t.Helper()
	_, rest, _ := strings.Cut(unit, "\nExecStart=")
	line, _, _ := strings.Cut(rest, "\n")
	words := strings.Fields(strings.ReplaceAll(line, "${CREDENTIALS_DIRECTORY}", filepath.Join(s.dir, "credentials")))
	s.cmd = exec.Command(words[0], words[1:]...)
	s.cmd.Env = []string{
		"PATH=/usr/bin:/bin", "NOTIFY_SOCKET=" + filepath.Join(s.dir, "notify"),
		"WATCHDOG_USEC=" + strconv.FormatInt(watchdog.Microseconds(), 10),
		"STATE_DIRECTORY=" + filepath.Join(s.dir, "state"), "CREDENTIALS_DIRECTORY=" + filepath.Join(s.dir, "credentials"),
	}
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Dir = &s.log, &s.log, "/"
	s.cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: unprivileged, Gid: unprivileged},
	}
	ok(s.t, s.cmd.Start())
	s.t.Cleanup(func() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait() })
}

// next returns the next notification.
func (s *systemd) next() string {
	s.t.Helper()
	raw := make([]byte, 4096)
	ok(s.t, s.socket.SetReadDeadline(time.Now().Add(time.Minute)))
	n, err := s.socket.Read(raw)
	if err != nil {
		s.t.Fatalf("no notification: %v; log:\n%s", err, s.log.String())
	}
	return string(raw[:n])
}

// TestTheUnitRunsTheRealBinary starts the command of the unit as a user without rights. The daemon is ready when every
// listener answers, sends signs of life, keeps the vault under the credential, and reports that it stops.
func TestTheUnitRunsTheRealBinary(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	s := newSystemd(t)
	unit, err := supervisor.Setup{Binary: s.bin, Args: []supervisor.Arg{
		{Name: "interface", Value: "lo"}, {Name: "policy", Value: "/etc/rekeyd/policy.json", File: true},
	}}.Unit()
	ok(t, err)

	// While another program has a port, the daemon is not ready, and reports which port it waits for.
	taken, err := net.Listen("tcp", defaultPage)
	ok(t, err)
	s.start(unit, 600*time.Millisecond)
	if got := s.next(); got != "STATUS=waiting for page ("+defaultPage+")" {
		t.Errorf("notified %q", got)
	}
	ok(t, taken.Close())
	got := s.next()
	for strings.HasPrefix(got, "STATUS=waiting") {
		got = s.next()
	}
	if !strings.HasPrefix(got, "READY=1\n") {
		t.Fatalf("notified %q", got)
	}
	for _, addr := range []string{defaultPage, defaultAccount, defaultBroker} {
		conn, err := net.Dial("tcp", addr)
		ok(t, err)
		ok(t, conn.Close())
	}
	state := filepath.Join(s.dir, "state")
	out, err := exec.Command(s.bin, "--state", state, "status").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "not signed in") {
		t.Errorf("status: %v\n%s", err, out)
	}
	for range 5 { // more than one watchdog's time
		if got := s.next(); got != "WATCHDOG=1" {
			t.Fatalf("notified %q", got)
		}
	}

	ok(t, s.cmd.Process.Signal(syscall.SIGTERM))
	for got = s.next(); got == "WATCHDOG=1"; got = s.next() {
		continue
	}
	if got != "STOPPING=1" {
		t.Errorf("notified %q", got)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("%v; log:\n%s", err, s.log.String())
	}

	// The key came from the credential: no key file was made, and without the credential the state stays closed.
	if !localstore.Exists(state) {
		t.Error("no state in the unit's directory")
	}
	if _, err := os.Stat(filepath.Join(state, "vault.key")); !os.IsNotExist(err) {
		t.Errorf("a key file beside the state: %v", err)
	}
	for credentials, want := range map[string]int{filepath.Join(s.dir, "credentials"): exitOK, "": exitStore} {
		cmd := exec.Command(s.bin, "--state", state, "status")
		cmd.Env = []string{"CREDENTIALS_DIRECTORY=" + credentials}
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != want {
			t.Errorf("with the credentials in %q: %s", credentials, out)
		}
	}
}
