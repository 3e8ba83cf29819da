package discover

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// probe sends every probe twice in a window, to the broadcast addresses of n, to the targets, and to the hosts that
// answered before, and takes in the replies. Its socket lives no longer than the window.
func (r *run) probe(ctx context.Context, n *network) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Pace.Window)
	defer cancel()
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		r.count("probe socket did not open")
		return
	}
	_ = c.SetReadBuffer(1 << 20)
	p := ipv4.NewPacketConn(c)
	if err := p.SetControlMessage(ipv4.FlagInterface, true); err != nil {
		r.count("probe socket did not open")
		_ = c.Close()
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { r.readReplies(p, n) })
	defer c.Close()
	wg.Go(func() { r.targets.resolve(ctx) }) // a resolver that does not answer delays nothing
	r.replies.ask(r.ready())
	for range 2 {
		for _, probe := range r.o.Probes {
			r.sendProbe(ctx, p, n, probe)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(r.o.Pace.Window / 5):
		}
	}
	<-ctx.Done()
}

// ready reports whether every probe asks for all that devices hide.
func (r *run) ready() bool {
	return !slices.ContainsFunc(r.o.Probes, func(p Probe) bool {
		x, ok := p.(interface{ ready() bool })
		return ok && !x.ready()
	})
}

// sendProbe sends one probe to the broadcast addresses, to hosts that answered before, and to the targets.
func (r *run) sendProbe(ctx context.Context, c *ipv4.PacketConn, n *network, p Probe) {
	questions := p.Datagrams()
	to := func(a netip.Addr, index int) {
		for _, q := range questions {
			// an error means a device that is off, or a firewall: the next sweep tries again
			_, _ = c.WriteTo(q, &ipv4.ControlMessage{IfIndex: index}, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, p.Port())))
		}
	}
	for _, x := range n.prefixes {
		if b := broadcast(x.Prefix); b.IsValid() {
			to(b, x.index)
		}
	}
	for _, a := range r.replies.known(p.Port()) {
		to(a, 0)
	}
	for i, a := range r.targets.addrs() {
		to(a, 0)
		if i%targetBurst == targetBurst-1 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(packetPause):
			}
		}
	}
}

// targetBurst is how many targets are probed without a pause.
const targetBurst = 32

// readReplies reads replies until the socket is closed. A reply counts from a probe's port and an allowed subnet only.
func (r *run) readReplies(c *ipv4.PacketConn, n *network) {
	b := make([]byte, 9000)
	for {
		size, cm, src, err := c.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		a, ok := src.(*net.UDPAddr)
		if !ok || cm == nil {
			continue
		}
		from := a.AddrPort()
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if !r.mayReply(n, from.Addr(), cm.IfIndex) {
			r.count("reply from outside the subnets")
			continue
		}
		at := slices.IndexFunc(r.o.Probes, func(p Probe) bool { return p.Port() == from.Port() })
		if at < 0 {
			r.count("reply from another port")
			continue
		}
		s, err := r.o.Probes[at].Read(b[:size])
		if err != nil || len(s.Keys) == 0 {
			r.count("reply that is none")
			continue
		}
		s = withAddr(s, from)
		s.At = time.Now().UTC().Round(0)
		if s, ok := r.replies.enter(s, from.Port()); ok {
			r.out.put([]home.Sighting{s})
		}
	}
}

// mayReply reports whether a host may be believed to be where its reply came from.
func (r *run) mayReply(n *network, a netip.Addr, index int) bool {
	if r.targets.contain(a) {
		return true
	}
	_, ok := n.place(a, index)
	return ok && n.allows(index)
}
