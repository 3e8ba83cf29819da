package app

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
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
	pointer string                          // of a socket: the path at which commands look for it
	listen  func(network, addr string) (net.Listener, error)
	tried   chan struct{}
	once    sync.Once // closes tried

	opened     chan struct{} // closed when it was opened for the first time
	onceOpened sync.Once     // closes opened

	mu     sync.Mutex // guards first and failed
	first  net.Listener
	failed error // of the last try to open it; nil while it is open
}

// newPort checks a TCP address. Port 0 is opened at once and kept for the first run, so that the address is known from
// the start and stays the same.
func newPort(name, addr, flag string, limit *connLimit) (*Listener, error) {
	l := &Listener{
		name: name, network: "tcp", addr: addr, flag: flag, limit: limit, listen: net.Listen,
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
	if l.first, err = l.listen("tcp", addr); err != nil {
		return nil, l.explain(err)
	}
	l.addr = l.first.Addr().String()
	return l, nil
}

// open opens the listener. The caller closes what it returns, and may then open it again.
func (l *Listener) open() (net.Listener, error) {
	defer l.once.Do(func() { close(l.tried) })
	l.mu.Lock()
	open := l.first
	l.first = nil
	l.mu.Unlock()
	var err error
	switch {
	case open != nil:
	case l.network == "unix":
		open, err = l.openSocket()
	default:
		if open, err = l.listen("tcp", l.addr); err != nil {
			err = l.explain(err)
		}
	}
	l.mu.Lock()
	l.failed = err
	l.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if l.network == "unix" {
		return open, nil
	}
	return l.wrap(open), nil
}

// failure returns why the listener could not be opened at the last try; nil for one that is open.
func (l *Listener) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// wrap adds to an open port the limit on connections, and TLS where the port has it.
func (l *Listener) wrap(open net.Listener) net.Listener {
	open = l.limit.listener(open)
	if l.secure != nil {
		open = l.secure(open)
	}
	return open
}

// portErrors are the causes why a port cannot be opened, each with the hint for its owner; %s is the flag.
var portErrors = []struct {
	errno       syscall.Errno
	cause, hint string
}{
	{syscall.EADDRINUSE, "another program listens there", "stop what listens there, or choose another address with %s"},
	{
		syscall.EADDRNOTAVAIL, "this machine does not have that address",
		"wait if it gets the address later (rekeyd tries every second), or choose another one with %s",
	},
	{syscall.EACCES, "this user may not listen on that port", "choose a port of 1024 or more with %s"},
	{syscall.EMFILE, "this process has too many open files", "raise its limit (ulimit -n, LimitNOFILE=)"},
}

// explain returns the cause of err, the failure to open a port, with a hint for its owner.
func (l *Listener) explain(err error) error {
	out := &home.Error{Op: "listen on " + l.addr, Err: err, Hint: "choose another address with " + l.flag}
	for _, e := range portErrors {
		if errors.Is(err, e.errno) {
			out.Err = fmt.Errorf("%s: %w", e.cause, e.errno)
			out.Hint = strings.Replace(e.hint, "%s", l.flag, 1)
		}
	}
	return out
}

// isMissing reports whether err is of an address that this machine does not have (yet), as at its start: an interface
// that comes up later, or a name that cannot be resolved without it.
func isMissing(err error) bool {
	_, name := errors.AsType[*net.DNSError](err)
	return name || errors.Is(err, syscall.EADDRNOTAVAIL)
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
