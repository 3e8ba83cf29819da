package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// TestTheDeviceForMakersJoinsAndFollows builds the device of devices/native/README.md, as a maker would, and lets the
// real daemon find it, bind it, and see it follow a change of the password by itself.
func TestTheDeviceForMakersJoinsAndFollows(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	const program = "../../devices/native/testdata/camera/main.go"
	readme, err := os.ReadFile("../../devices/native/README.md")
	ok(t, err)
	source, err := os.ReadFile(program)
	ok(t, err)
	_, block, found := strings.Cut(string(readme), "\n```go\n")
	block, _, ended := strings.Cut(block, "\n```")
	if !found || !ended || block+"\n" != string(source) {
		t.Fatal("the program in README.md is not the one that is tested")
	}
	if lines := strings.Count(block, "\n") + 1; lines > 35 {
		t.Errorf("%d lines: it is to be about thirty", lines)
	}

	dir := t.TempDir()
	bin := filepath.Join(dir, "camera")
	if out, err := exec.Command("go", "build", "-o", bin, program).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	camera := exec.Command(bin)
	var log output
	camera.Dir, camera.Stderr = dir, &log
	camera.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ok(t, camera.Start())
	defer func() { _ = camera.Process.Kill(); _ = camera.Wait() }()
	// It is switched on before its network is there. zeroconf announces no loopback address, so that is one of its own.
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "camera.json")); err == nil || time.Now().After(end) {
			break
		}
	}
	nettest.Link(t, "home0", "10.9.0.1/24")

	r := newRig(t, "plug:iot=1")
	r.args = []string{"--interface", "home0", "--policy", unactivated(t)}
	r.start()
	r.await("daemon", time.Minute, answers)
	for _, args := range [][]string{{"register", rigEmail, "--password-stdin"}, {"login", rigEmail, "--password-stdin"}} {
		if out, err := r.rekeyd("password-number-001", args...); err != nil {
			t.Fatalf("%v: %s", args, out)
		}
	}
	var id home.DeviceID
	r.await("camera found", time.Minute, func(s daemon.Status) bool {
		for _, d := range s.Devices {
			if d.Protocol == home.Native && d.Verdict == home.Blank && d.Kind == home.Camera && d.Name == "front door" {
				id = d.ID
			}
		}
		return id != ""
	})
	s, err := r.status()
	ok(t, err)
	addr := s.Devices[slices.IndexFunc(s.Devices, func(d daemon.Row) bool { return d.ID == id })].Addr
	out, err := r.rekeyd("", "check-device", addr, "--interface", "home0")
	if err != nil || strings.Contains(out, "FAIL") || strings.Count(out, "pass ") < 18 {
		t.Fatalf("check-device: %v\n%s", err, out)
	}
	if out, err := r.rekeyd("", "bind", "front door"); err != nil {
		t.Fatalf("bind: %s", out)
	}
	// The broker is on loopback, which the camera does not reach: status names the remedy, which is followed.
	const remedy = "start the hub with --broker-listen 0.0.0.0:7355"
	r.await("the remedy", time.Minute, func(s daemon.Status) bool {
		for _, d := range s.Devices {
			if d.ID == id {
				return d.Hint == remedy && strings.Contains(d.Detail, "it cannot reach mqtt://10.9.0.1:7355")
			}
		}
		return false
	})
	r.kill()
	r.args = append(r.args, "--broker-listen", "0.0.0.0:7355")
	r.start()
	r.await("daemon", time.Minute, answers)
	if out, err := r.rekeyd("", "rekey", "front door"); err != nil {
		t.Fatalf("rekey: %s", out)
	}
	is := func(e home.Epoch) func(daemon.Status) bool {
		return func(s daemon.Status) bool {
			for _, d := range s.Devices {
				if d.ID == id {
					return d.Verdict == home.Current && d.Epoch == e
				}
			}
			return false
		}
	}
	r.await("camera bound", time.Minute, is(1))
	ok(t, r.change("password-number-001", "password-number-002"))
	r.await("camera followed", time.Minute, is(2))

	if !strings.Contains(log.String(), "the account has a new password") {
		t.Errorf("the camera has not logged the new password:\n%s", log.String())
	}
	st, err := os.Stat(filepath.Join(dir, "camera.json"))
	ok(t, err)
	if st.Mode().Perm() != 0o600 {
		t.Errorf("its state has mode %v", st.Mode().Perm())
	}
}
