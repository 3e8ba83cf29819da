package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// The real binary with mosquitto as its broker, which is killed and loses its state, and which is stopped: it is mute
// then, and answers all at once when it continues. The password changes meanwhile. The times are logged: how long it
// takes in fake time is asserted in package app.
func TestTheHouseRecoversFromABadMosquitto(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	path := nettest.MosquittoPath(t)
	const addr = "127.0.0.1:1884"
	conf := filepath.Join(t.TempDir(), "conf")
	ok(t, os.WriteFile(conf, []byte("listener 1884 127.0.0.1\nallow_anonymous true\npersistence false\n"), 0o600))
	var broker *exec.Cmd
	start := func() {
		broker = exec.Command(path, "-c", conf)
		broker.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		ok(t, broker.Start())
		nettest.AwaitOpen(t, addr)
	}
	kill := func() {
		_ = broker.Process.Kill()
		_ = broker.Wait()
	}
	start()
	t.Cleanup(func() { kill() })
	r := newRig(t, "plug:iot=2,camera:native=1")
	r.args = append(r.args, "--broker", "mqtt://"+addr)
	n := len(r.house.Devices())
	r.setUp("password-number-001")
	password := func(i int) string { return fmt.Sprintf("password-number-%03d", i) }
	for i, bad := range []struct {
		name       string
		begin, end func()
	}{
		{"dead", kill, start},
		{
			"mute", func() { ok(t, broker.Process.Signal(syscall.SIGSTOP)) },
			func() { ok(t, broker.Process.Signal(syscall.SIGCONT)) },
		},
	} {
		bad.begin()
		ok(t, r.change(password(i+1), password(i+2)))
		time.Sleep(10 * time.Second) // the fault lasts
		bad.end()
		began := time.Now()
		r.await("recovery from a broker that was "+bad.name, 2*time.Minute, func(s daemon.Status) bool {
			return s.Link == "up" && allCurrent(n, s.Epoch)(s) && int(s.Epoch) == i+2
		})
		if held := r.holding(password(i+2), r.await("status", time.Minute, answers).Epoch); held != n {
			t.Errorf("%d of %d devices hold the password", held, n)
		}
		t.Logf("%s: recovered in %v", bad.name, time.Since(began).Round(100*time.Millisecond))
	}
}
