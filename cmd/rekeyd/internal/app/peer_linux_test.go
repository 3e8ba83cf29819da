package app

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// connectAs connects to a socket as another user, and returns the first byte that comes, 0 for none.
func connectAs(t *testing.T, uid int, path string) byte {
	t.Helper()
	type result struct {
		b   [1]byte
		err error
	}
	got := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine, and its user with it
		var r result
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			r.err = errno
			got <- r
			return
		}
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		if err == nil {
			if err = syscall.Connect(fd, &syscall.SockaddrUnix{Name: path}); err == nil {
				_, err = syscall.Read(fd, r.b[:])
			}
			_ = syscall.Close(fd)
		}
		r.err = err
		got <- r
	}()
	r := <-got
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.b[0]
}

func TestOnlyTheDaemonsUserAndRootSpeakToItsSocket(t *testing.T) {
	if os.Geteuid() != 0 {
		nettest.Missing(t, "only root can connect as another user")
	}
	dir, err := os.MkdirTemp("", "rekeyd") // other users may not enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "rekeyd.sock")
	l, err := newSocket("control socket", dir, "")
	if err != nil {
		t.Fatal(err)
	}
	open, err := l.open()
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", st.Mode(), err)
	}
	if err := os.Chmod(path, 0o666); err != nil { // as between its creation and its chmod
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := open.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("x"))
			_ = conn.Close()
		}
	}()
	if connectAs(t, 65534, path) != 0 {
		t.Error("another user was answered")
	}
	if connectAs(t, 0, path) != 'x' {
		t.Error("root was not answered")
	}
	_ = open.Close()
	<-served
	_, client := net.Pipe()
	defer client.Close()
	if mayCommand(client) {
		t.Error("a connection without a user was accepted")
	}
}
