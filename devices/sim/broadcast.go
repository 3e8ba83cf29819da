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

// broadcast is loopback's broadcast address. A socket bound to a device's own address does not receive what is sent
// there, so one socket a port receives it for all of them; several houses can each have one.
var broadcast = netip.AddrFrom4([4]byte{127, 255, 255, 255})

// broadcastSocket receives the questions that are broadcast to a port.
type broadcastSocket struct {
	*net.UDPConn
	port uint16
}

// listenBroadcasts opens the socket of a port, shared with other houses on this machine.
func listenBroadcasts(port uint16) (*broadcastSocket, error) {
	at := netip.AddrPortFrom(broadcast, port)
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = share(fd) }), err)
	}}
	c, err := lc.ListenPacket(context.Background(), "udp4", at.String())
	if err != nil {
		return nil, &home.Error{
			Op: fmt.Sprintf("listen for broadcasts at %s", at), Err: err,
			Hint: "stop what listens there for itself alone",
		}
	}
	return &broadcastSocket{c.(*net.UDPConn), port}, nil
}

// run has every device that is on answer from its own address, until ctx ends. A broadcast that would change something
// is dropped.
func (e *broadcastSocket) run(ctx context.Context, devices []*Device) {
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
		e.distribute(ctx, b[:n], from, devices)
	}
}

// distribute has the devices answer a question that was broadcast.
func (e *broadcastSocket) distribute(ctx context.Context, question []byte, from netip.AddrPort, devices []*Device) {
	if e.port != home.IOT.Port() {
		q, ok := readTDP(question)
		for _, d := range devices {
			if f, found := d.findable(); ok && found && f.d.body.(discoverable).statement().port == e.port {
				f.answer(q, from)
			}
		}
		return
	}
	r, err := parseRequest(xor.Open(question))
	if err != nil || !r.asks() {
		return
	}
	for _, d := range devices {
		if h, ok := d.body.(broadcastAnswerer); ok && d.On() {
			h.answerBroadcast(ctx, r, from)
		}
	}
}
