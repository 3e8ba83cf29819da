package native_test

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/native"
)

// A device that sends a status line without end is cut off, and does not fill the hub's memory.
func TestEndlessStatusLineIsCutOff(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const much = 64 << 20
	sent := make(chan int, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			sent <- much
			return
		}
		defer c.Close()
		_ = c.(*net.TCPConn).SetWriteBuffer(64 << 10)
		chunk := bytes.Repeat([]byte("x"), 64<<10)
		total := 0
		for total < much {
			n, err := c.Write(chunk)
			if total += n; err != nil {
				break
			}
		}
		sent <- total
	}()
	d, err := native.New(native.Options{Identity: identity(t, wire.RoleHub)})
	if err != nil {
		t.Fatal(err)
	}
	dev := home.Device{ID: "rk-1", Protocol: home.Native, Addr: netip.MustParseAddrPort(l.Addr().String())}
	f, err := d.Probe(t.Context(), dev, home.Candidates{})
	if err != nil || f.Verdict.State != home.Unreachable {
		t.Errorf("found %s, %v", f.Verdict.State, err)
	}
	if n := <-sent; n > 6<<20 {
		t.Errorf("the hub received %d bytes of a status line", n)
	}
}
