package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/localstore"
)

// TestStatusAnswersOnlyWhenEveryPortIsOpen starts the real binary with an empty state, again and again. As soon as
// status succeeds, the account service takes a registration, and the other ports are open.
func TestStatusAnswersOnlyWhenEveryPortIsOpen(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	r := newRig(t, "plug:iot=1")
	for i := range 10 { // after a change of the order at the start, run it with -count=5
		r.state = filepath.Join(t.TempDir(), "st")
		r.start()
		var out string
		var err error
		for end := time.Now().Add(time.Minute); time.Now().Before(end); {
			if out, err = r.rekeyd("", "status"); err == nil {
				break
			}
		}
		if err != nil {
			t.Fatalf("start %d: status: %s\n%s", i, out, r.log.String())
		}
		if text, err := r.rekeyd("password-number-001", "register", rigEmail, "--password-stdin"); err != nil {
			t.Fatalf("start %d: register right after status: %s\nstatus:\n%s", i, text, out)
		}
		for _, port := range []string{defaultPage, defaultBroker} {
			c, err := net.Dial("tcp", port)
			if err != nil {
				t.Fatalf("start %d: right after status: %v", i, err)
			}
			_ = c.Close()
		}
		r.kill()
	}
}

func TestStatusReportsThatADaemonIsStarting(t *testing.T) {
	state := t.TempDir()
	store, err := localstore.Open(localstore.Options{Dir: state, Log: slog.New(slog.DiscardHandler)})
	ok(t, err)
	defer store.Close()
	var errs output
	code := run(t.Context(), []string{"--state", state, "status"}, strings.NewReader(""), io.Discard, &errs)
	if code != exitUnavailable || !strings.Contains(errs.String(), "hint: it may be starting") {
		t.Errorf("it ended with %d: %s", code, errs.String())
	}
}

// TestSilentConnectionsExhaustNoDescriptors holds as many silent connections to the broker and to the account service
// as the process may have files. They are cut, and everything answers again.
func TestSilentConnectionsExhaustNoDescriptors(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	const files = 256
	r := newRig(t, "plug:iot=1")
	r.cmd = exec.Command("sh", append([]string{
		"-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, files),
		r.bin, "run", "--state", r.state,
	}, r.args...)...)
	r.cmd.Stdout, r.cmd.Stderr = &r.log, &r.log
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ok(t, r.cmd.Start())
	r.await("daemon", time.Minute, answers)
	silent := func(port, from string) {
		for range files + 4 {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
			c, err := d.Dial("tcp", port)
			if errors.Is(err, syscall.ECONNREFUSED) {
				t.Fatalf("%s is closed: %v\n%s", port, err, r.log.String())
			}
			if err == nil {
				t.Cleanup(func() { _ = c.Close() })
			}
		}
	}
	// Connections of one other address keep no client out.
	silent(defaultBroker, "127.0.0.66")
	if out, err := r.rekeyd("password-number-001", "register", rigEmail, "--password-stdin"); err != nil {
		t.Fatalf("register while another address holds its connections: %s", out)
	}
	// Several addresses do, until their time is over.
	for i := range 4 {
		silent(defaultBroker, fmt.Sprint("127.0.0.", 70+i))
		silent(defaultAccount, fmt.Sprint("127.0.0.", 80+i))
	}
	var out string
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if out, err = r.rekeyd("password-number-001", "login", rigEmail, "--password-stdin"); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("login 30 s after the last silent connection was made: %s\n%s", out, r.log.String())
	}
	r.await("link up", time.Minute, func(s daemon.Status) bool { return s.Link == "up" })
	resp, err := http.Get("http://" + defaultPage)
	ok(t, err)
	resp.Body.Close()
	if strings.Contains(r.log.String(), "too many open files") {
		t.Error("the process ran out of descriptors")
	}
}
