package app

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Listener is a named address of the program. The part that serves there opens it at each run; newPort and newSocket
// only check it.
type Listener struct {
	name    string
	network string                          // tcp or unix
	addr    string                          // host and port, or the path of a socket
	flag    string                          // of the command line, by which the port is chosen
	limit   *connLimit                      // of ports
	secure  func(net.Listener) net.Listener // adds TLS; nil for none
	tried   chan struct{}
	once    sync.Once // closes tried

	opened     chan struct{} // closed when it was opened for the first time
	onceOpened sync.Once     // closes opened

	mu    sync.Mutex // guards first
	first net.Listener
}

// newPort checks a TCP address. Port 0 is opened at once and kept for the first run, so that the address is known from
// the start and stays the same.
func newPort(name, addr, flag string, limit *connLimit) (*Listener, error) {
	l := &Listener{
		name: name, network: "tcp", addr: addr, flag: flag, limit: limit,
		tried: make(chan struct{}), opened: make(chan struct{}),
	}
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return nil, &home.Error{Op: "listen on " + addr, Err: err, Hint: "give " + flag + " an address like 127.0.0.1:7353"}
	}
	if port != "0" {
		return l, nil
	}
	if l.first, err = net.Listen("tcp", addr); err != nil {
		return nil, l.failure(err)
	}
	l.addr = l.first.Addr().String()
	return l, nil
}

// maxSocketPath is the longest path of a Unix socket: sun_path of Linux without its final zero.
const maxSocketPath = 107

// newSocket checks the path of a Unix socket that only the user of the process may open.
func newSocket(name, path string) (*Listener, error) {
	if len(path) > maxSocketPath {
		err := fmt.Errorf("its path is longer than %d bytes", maxSocketPath)
		return nil, &home.Error{
			Op:   "open the socket " + path,
			Err:  err,
			Hint: "choose a state directory with a shorter path, with --state",
		}
	}
	return &Listener{name: name, network: "unix", addr: path, tried: make(chan struct{}), opened: make(chan struct{})}, nil
}

// open opens the listener. The caller closes what it returns, and may then open it again.
func (l *Listener) open() (net.Listener, error) {
	defer l.once.Do(func() { close(l.tried) })
	l.mu.Lock()
	first := l.first
	l.first = nil
	l.mu.Unlock()
	switch {
	case first != nil:
		return l.wrap(first), nil
	case l.network == "unix":
		return l.openSocket()
	}
	open, err := net.Listen("tcp", l.addr)
	if err != nil {
		return nil, l.failure(err)
	}
	return l.wrap(open), nil
}

// wrap adds to an open port the limit on connections, and TLS where the port has it.
func (l *Listener) wrap(open net.Listener) net.Listener {
	open = l.limit.listener(open)
	if l.secure != nil {
		open = l.secure(open)
	}
	return open
}

// openSocket replaces a socket that a killed process left: the lock of the store shows that no other process serves
// there.
func (l *Listener) openSocket() (net.Listener, error) {
	if err := os.Remove(l.addr); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("replace the socket: %w", err)
	}
	open, err := net.Listen("unix", l.addr)
	if err != nil {
		return nil, fmt.Errorf("open the socket: %w", err)
	}
	if err := os.Chmod(l.addr, 0o600); err != nil {
		return nil, errors.Join(err, open.Close())
	}
	return open, nil
}

// failure returns err with the flag that chooses another address.
func (l *Listener) failure(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		err = errors.New("another program listens there")
	}
	return &home.Error{
		Op: "listen on " + l.addr, Err: err, Hint: "stop what listens there, or choose another address with " + l.flag,
	}
}

// close closes a listener that newPort opened and no part took.
func (l *Listener) close() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first != nil {
		_ = l.first.Close()
		l.first = nil
	}
}

// dialable returns the address at which this machine reaches the listener: loopback where it listens on all addresses.
// Devices elsewhere get the hub's own address instead (devices/native).
func (l *Listener) dialable() string {
	if !l.everywhere() {
		return l.addr
	}
	_, port, _ := net.SplitHostPort(l.addr)
	return net.JoinHostPort("127.0.0.1", port)
}

// everywhere reports whether the listener is open on all addresses of this machine.
func (l *Listener) everywhere() bool {
	host, _, _ := net.SplitHostPort(l.addr)
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// onLAN reports whether other machines can reach the listener, and its port.
func (l *Listener) onLAN() (port uint16, ok bool) {
	at, err := netip.ParseAddrPort(l.addr)
	if err != nil {
		_, text, _ := net.SplitHostPort(l.addr)
		n, err := strconv.ParseUint(text, 10, 16)
		return uint16(n), err == nil && l.everywhere()
	}
	return at.Port(), !at.Addr().IsLoopback()
}

// machineNames returns the names by which people on the LAN reach this machine.
func machineNames() []string {
	name, _ := os.Hostname() // a machine may have none
	return home.MachineNames(name)
}
