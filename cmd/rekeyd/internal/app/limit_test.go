package app

import (
	"net"
	"testing"
	"time"
)

// accepting accepts on two ports that share a limit, and hands out what was accepted.
func accepting(t *testing.T, limit *connLimit) (addrs [2]string, conns chan net.Conn) {
	t.Helper()
	conns = make(chan net.Conn, 100)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ok(t, err)
		t.Cleanup(func() { _ = l.Close() })
		addrs[i] = l.Addr().String()
		go func() {
			for limited := limit.listener(l); ; {
				c, err := limited.Accept()
				if err != nil {
					return
				}
				conns <- c
			}
		}()
	}
	return addrs, conns
}

func dialFrom(t *testing.T, from net.IP, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
	c, err := d.Dial("tcp", to)
	ok(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// isClosed waits until the other end has closed c.
func isClosed(t *testing.T, c net.Conn) {
	t.Helper()
	ok(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	if _, err := c.Read(make([]byte, 1)); err == nil || errIsTimeout(err) {
		t.Fatalf("a connection beyond the limit stays open: %v", err)
	}
}

func errIsTimeout(err error) bool {
	ne, is := err.(net.Error)
	return is && ne.Timeout()
}

func TestAllPortsShareOneConnectionLimit(t *testing.T) {
	limit := newConnLimit(2, 8) // of which 2 are for this machine
	addrs, conns := accepting(t, limit)
	first, second := net.IPv4(127, 0, 0, 2), net.IPv4(127, 0, 0, 3)
	third, fourth := net.IPv4(127, 0, 0, 4), net.IPv4(127, 0, 0, 5)
	take := func(from net.IP, to string) net.Conn {
		t.Helper()
		dialFrom(t, from, to)
		select {
		case c := <-conns:
			return c
		case <-time.After(time.Minute):
			t.Fatal("a connection within the limit was refused")
			return nil
		}
	}
	held := take(first, addrs[0])
	take(first, addrs[1])
	isClosed(t, dialFrom(t, first, addrs[0]))
	isClosed(t, dialFrom(t, first, addrs[1]))
	for _, from := range []net.IP{second, third} { // another address is not affected
		take(from, addrs[0])
		take(from, addrs[1])
	}
	isClosed(t, dialFrom(t, fourth, addrs[0])) // the total for others is reached
	own := net.IPv4(127, 0, 0, 1)
	take(own, addrs[0])
	take(own, addrs[1])
	isClosed(t, dialFrom(t, own, addrs[0]))
	isClosed(t, dialFrom(t, fourth, addrs[0]))
	ok(t, held.Close())
	_ = held.Close() // counts once
	take(fourth, addrs[0])
	isClosed(t, dialFrom(t, fourth, addrs[0]))
}

func TestTheTotalLeavesDescriptorsFree(t *testing.T) {
	for files, want := range map[int]int{4: 2, 64: 16, 256: 160, 1024: 928} {
		if got := totalFor(files); got != want || got >= files {
			t.Errorf("of %d files connections may take %d, want %d", files, got, want)
		}
	}
	if l := newConnLimit(1000, 100); l.perAddress != 50 {
		t.Errorf("one address may take %d of %d connections", l.perAddress, l.total)
	}
}

func TestAnAddressIsA64OfIPv6(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7:1":            "192.0.2.7/32",
		"[::ffff:192.0.2.7]:1":   "192.0.2.7/32",
		"[2001:db8:1:2:3::4]:1":  "2001:db8:1:2::/64",
		"[fe80::1:2%eth0]:65535": "fe80::/64",
	} {
		a := stringAddr(addr)
		if got := addressOf(a).String(); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

type stringAddr string

func (a stringAddr) Network() string { return "tcp" }
func (a stringAddr) String() string  { return string(a) }
