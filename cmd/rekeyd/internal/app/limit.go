package app

import (
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// The numbers of a connection limit. A process that may open fewer files has a lower total.
const (
	defaultPerAddress = 256
	maxTotal          = 16_384
	// reservedFiles stay free for files, outgoing connections and the sockets of discovery.
	reservedFiles = 96
	// ownShare of the total is for this machine: its hub finds room at its broker while others take the rest.
	ownShare = 4 // a quarter
)

// connLimit bounds the connections that are open at once, on all ports together: those of one address, and all of them.
// A connection beyond the limit is closed at once. So a client that holds connections open can neither exhaust the
// descriptors of the process nor keep out clients at other addresses.
type connLimit struct {
	perAddress, total int

	mu   sync.Mutex // guards open and sum
	open map[netip.Prefix]int
	sum  int
}

// totalConns returns how many connections this process may hold: fewer than the files that it may open.
func totalConns() int {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil && files.Cur < maxTotal+reservedFiles {
		return totalFor(int(files.Cur))
	}
	return maxTotal
}

// totalFor returns how many of a process's files connections may take.
func totalFor(files int) int { return max(files-reservedFiles, files/4, 2) }

// newConnLimit returns a limit. perAddress 0 stands for the default; one address never gets more than half of the
// total.
func newConnLimit(perAddress, total int) *connLimit {
	if perAddress == 0 {
		perAddress = defaultPerAddress
	}
	return &connLimit{perAddress: min(perAddress, total/2), total: total, open: map[netip.Prefix]int{}}
}

// listener returns l with the limit applied.
func (c *connLimit) listener(l net.Listener) net.Listener { return limitedListener{l, c} }

// The addresses from which this machine's own parts connect, as addressOf returns them. Others of 127.0.0.0/8 are taken
// on purpose only.
var (
	ownAddress  = netip.MustParsePrefix("127.0.0.1/32")
	ownAddress6 = netip.MustParsePrefix("::/64") // of ::1
)

// acquire takes a place for a connection; false at either limit. Each place is given back by release.
func (c *connLimit) acquire(from netip.Prefix) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.open[ownAddress] + c.open[ownAddress6]
	strange := from != ownAddress && from != ownAddress6
	if c.sum >= c.total || strange && c.sum-own >= c.total-c.total/ownShare || c.open[from] >= c.perAddress {
		return false
	}
	c.sum++
	c.open[from]++
	return true
}

func (c *connLimit) release(from netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum--
	if c.open[from]--; c.open[from] == 0 {
		delete(c.open, from)
	}
}

// addressOf returns what counts as one address: an IPv4 address, or a /64 of IPv6, which one subscriber has for
// himself.
func addressOf(a net.Addr) netip.Prefix {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip := ap.Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // the zone is gone and bits fit
	return p
}

// limitedListener closes connections beyond the limit at once, before a byte of them is read.
type limitedListener struct {
	net.Listener
	limit *connLimit
}

// Accept returns the next connection within the limit.
func (l limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := addressOf(c.RemoteAddr())
		if l.limit.acquire(from) {
			return &limitedConn{Conn: c, release: sync.OnceFunc(func() { l.limit.release(from) })}, nil
		}
		_ = c.Close()
	}
}

// limitedConn gives its place back when it is closed, however often that is.
type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
