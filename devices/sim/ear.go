package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/xor"
)

// broadcast is loopback's broadcast address. A socket bound to a device's own address does not hear what is sent there, so one
// socket hears it for all of them; several houses can each have one.
var broadcast = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 255, 255, 255}), iotPort)

// ear hears the questions that are broadcast to port 9999.
type ear struct{ *net.UDPConn }

func listenBroadcasts() (*ear, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = share(fd) }), err)
	}}
	c, err := lc.ListenPacket(context.Background(), "udp4", broadcast.String())
	if err != nil {
		return nil, &home.Error{
			Op: fmt.Sprintf("listen for broadcasts at %s", broadcast), Err: err,
			Hint: "stop what listens there for itself alone",
		}
	}
	return &ear{c.(*net.UDPConn)}, nil
}

// run has every device that is on answer from its own address, until ctx ends. A broadcast that would change something is dropped.
func (e *ear) run(ctx context.Context, devices []*Device) {
	defer context.AfterFunc(ctx, func() { _ = e.Close() })()
	b := make([]byte, maxRequest)
	for {
		n, from, err := e.ReadFromUDPAddrPort(b)
		if err != nil {
			if errors.Is(err, net.ErrClosed) || !pause(ctx, time.Millisecond) {
				return
			}
			continue
		}
		r, err := parseRequest(xor.Open(b[:n]))
		if err != nil || !r.asks() {
			continue
		}
		for _, d := range devices {
			if h, ok := d.body.(hearer); ok && d.On() {
				h.hear(ctx, r, from)
			}
		}
	}
}
