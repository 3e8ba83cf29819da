package app

import (
	"bufio"
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// An address that the machine gets later, as at its start, is waited for: one line in the log, and open two seconds
// after it is there at the latest.
func TestAnAddressThatComesLaterIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l, err := newPort("page", "192.0.2.1:7353", "--listen", newConnLimit(0, 10))
		ok(t, err)
		there := time.Now().Add(time.Hour)
		served := make(chan time.Time, 1)
		p := listening(l, func(ctx context.Context, _ net.Listener) error {
			served <- time.Now()
			<-ctx.Done()
			return nil
		})
		l.listen = func(string, string) (net.Listener, error) {
			if time.Now().Before(there) {
				return nil, &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)}
			}
			return closedListener{}, nil
		}
		ctx, stop := context.WithCancel(t.Context())
		go restart(ctx, slog.New(slog.NewTextHandler(&log, nil)), p)
		time.Sleep(time.Minute)
		if err := l.failure(); err == nil || !strings.Contains(err.Error(), "does not have that address") ||
			!strings.Contains(home.HintOf(err), "--listen") {
			t.Errorf("while it waits: %v, hint %q", err, home.HintOf(err))
		}
		if at := <-served; at.Sub(there) > 2*time.Second {
			t.Errorf("opened %v after the address was there", at.Sub(there))
		}
		stop()
		synctest.Wait()
		if n := strings.Count(log.String(), "part failed"); n != 1 {
			t.Errorf("logged %d times:\n%.500s", n, log.String())
		}
		if err := l.failure(); err != nil {
			t.Errorf("open, and yet: %v", err)
		}
	})
}

type closedListener struct{ net.Listener }

func TestEachCauseThatClosesAPortHasItsHint(t *testing.T) {
	l := &Listener{addr: "127.0.0.1:80", flag: "--listen"}
	for errno, want := range map[syscall.Errno]string{
		syscall.EADDRINUSE: "stop what listens there", syscall.EADDRNOTAVAIL: "wait", syscall.EACCES: "1024",
		syscall.EMFILE: "ulimit -n", syscall.EAFNOSUPPORT: "choose another address with --listen",
	} {
		err := l.explain(&net.OpError{Op: "listen", Err: os.NewSyscallError("bind", errno)})
		if hint := home.HintOf(err); !strings.Contains(hint, want) {
			t.Errorf("%v: %v, hint %q", errno, err, hint)
		}
	}
}

func TestADiskWithoutSocketsIsNamedAndTheSocketIsElsewhere(t *testing.T) {
	state := t.TempDir()
	l, err := newSocket("control socket", state, "")
	ok(t, err)
	l.listen = func(string, string) (net.Listener, error) { // as FAT and exFAT answer mknod(2)
		return nil, &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EPERM)}
	}
	_, err = l.open()
	if err == nil || !strings.Contains(err.Error(), "exFAT") || !strings.Contains(home.HintOf(err), "--socket") {
		t.Errorf("%v, hint %q", err, home.HintOf(err))
	}

	elsewhere := filepath.Join(t.TempDir(), "s")
	for range 2 { // a socket that a killed process left is replaced
		l, err = newSocket("control socket", state, elsewhere)
		ok(t, err)
		open, err := l.open()
		ok(t, err)
		open.(ownersOnly).Listener.(*net.UnixListener).SetUnlinkOnClose(false)
		defer open.Close()
		if got := ControlSocket(state); got != elsewhere {
			t.Errorf("commands look at %s, want %s", got, elsewhere)
		}
		if info, err := os.Stat(elsewhere); err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != fs.ModeSocket {
			t.Errorf("socket: %v, %v", info.Mode(), err)
		}
	}
	l, err = newSocket("control socket", state, "") // back again
	ok(t, err)
	open, err := l.open()
	ok(t, err)
	defer open.Close()
	if got := ControlSocket(state); got != filepath.Join(state, socketName) {
		t.Errorf("commands look at %s", got)
	}

	file := filepath.Join(t.TempDir(), "letter")
	ok(t, os.WriteFile(file, []byte("x"), 0o600))
	l, err = newSocket("control socket", state, file)
	ok(t, err)
	if _, err = l.open(); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file in its place: %v", err)
	}
	if raw, err := os.ReadFile(file); err != nil || string(raw) != "x" {
		t.Errorf("the file became %q, %v", raw, err)
	}
}

func TestAStateInMemoryIsReported(t *testing.T) {
	if got := lostAtReboot("/dev/shm/not/there/yet"); len(got) != 1 || got[0].Hint == "" {
		t.Errorf("on tmpfs: %v", got)
	}
	if got := lostAtReboot("/proc"); len(got) != 0 {
		t.Errorf("not in memory: %v", got)
	}
	// A Raspberry Pi with the overlay file system switched on, and a card that is mounted on top.
	const mounts = `22 1 0:21 / / rw shared:1 - overlay overlayroot rw,lowerdir=/ro,upperdir=/dev/shm/up,workdir=/w
30 22 179:3 / /data rw - ext4 /dev/mmcblk0p3 rw
`
	for path, want := range map[string]string{"/var/lib": "/dev/shm/up", "/": "/dev/shm/up", "/data/x": ""} {
		if got := upperDir(bufio.NewScanner(strings.NewReader(mounts)), path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
