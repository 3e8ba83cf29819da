package app

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/atomicfile"
)

// socketName is the name of the control socket in the state directory. Where the socket is elsewhere, a file of this
// name holds its path, so that commands find it by the state directory alone.
const socketName = "rekeyd.sock"

// ControlSocket returns the path of the socket on which a hub takes commands. Its mode and the
// user of the process at its other end are the checks.
func ControlSocket(state string) string {
	path := filepath.Join(state, socketName)
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return path
	}
	elsewhere, err := os.ReadFile(path)
	if err != nil {
		return path
	}
	return string(bytes.TrimSpace(elsewhere))
}

// maxSocketPath is the longest path of a Unix socket: sun_path of Linux without its final zero.
const maxSocketPath = 107

const otherSocket = "give the socket a place of its own with --socket, such as /run/rekeyd.sock"

// newSocket checks the path of a Unix socket that only the user of the process may open. The state directory holds the
// socket where path is empty, and its path otherwise.
func newSocket(name, state, path string) (*Listener, error) {
	own := filepath.Join(state, socketName)
	if path == "" {
		path = own
	} else if abs, err := filepath.Abs(path); err == nil {
		path = abs // the state directory holds it for commands that run elsewhere
	}
	if len(path) > maxSocketPath {
		return nil, &home.Error{
			Op: "open the socket " + path, Err: fmt.Errorf("its path is longer than %d bytes", maxSocketPath), Hint: otherSocket,
		}
	}
	return &Listener{
		name: name, network: "unix", addr: path, pointer: own, listen: net.Listen,
		tried: make(chan struct{}), opened: make(chan struct{}),
	}, nil
}

// openSocket replaces a socket that a killed process left: the lock of the store shows that no other process serves
// there.
func (l *Listener) openSocket() (net.Listener, error) {
	fail := func(err error) (net.Listener, error) {
		out := &home.Error{Op: "open the socket " + l.addr, Err: err, Hint: otherSocket}
		if errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported) { // mknod(2)
			out.Err = fmt.Errorf("the disk of %s keeps no sockets, as FAT and exFAT do: %w", filepath.Dir(l.addr), err)
		}
		return nil, out
	}
	for _, path := range []string{l.pointer, l.addr} {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && info.Mode().Type() != fs.ModeSocket && path != l.pointer {
			err = errors.New("there is a file of that name, and it is no socket")
		}
		if err == nil {
			err = os.Remove(path)
		}
		if err != nil {
			return fail(err)
		}
	}
	open, err := l.listen("unix", l.addr)
	if err != nil {
		return fail(err)
	}
	if err := os.Chmod(l.addr, 0o600); err != nil {
		return nil, errors.Join(err, open.Close())
	}
	if l.addr != l.pointer {
		if err := atomicfile.Write(l.pointer, []byte(l.addr+"\n"), 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("write where the socket is: %w", err), open.Close())
		}
	}
	return ownersOnly{open}, nil
}

// RuntimeSocket returns the path of the socket in the first folder of $RUNTIME_DIRECTORY (systemd.exec(5)); empty where
// there is none.
func RuntimeSocket(getenv func(string) string) string {
	dir, _, _ := strings.Cut(getenv("RUNTIME_DIRECTORY"), ":")
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, socketName)
}
