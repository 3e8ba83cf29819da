package discover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const mdnsPort = 5353

var (
	group4 = netip.MustParseAddr("224.0.0.251")
	group6 = netip.MustParseAddr("ff02::fb")
)

// listener is the completer's two sockets, joined on the interfaces of one network.
type listener struct {
	net *network
	v4  *ipv4.PacketConn
	v6  *ipv6.PacketConn
}

// listen opens what can be opened: one family is enough. It shares the port with other programs that allow it.
func listen(n *network) (*listener, error) {
	l := &listener{net: n}
	var err4, err6 error
	// A multicast address makes package net share the port; it binds to the wildcard, so that unicast answers come, too.
	if c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(group4, mdnsPort))); err != nil {
		err4 = err
	} else {
		_ = c.SetReadBuffer(1 << 20) // as much as the kernel grants: a house answers all at once
		p := ipv4.NewPacketConn(c)
		joined := 0
		for _, i := range n.interfaces {
			if p.JoinGroup(&i, &net.UDPAddr{IP: group4.AsSlice()}) == nil {
				joined++
			}
		}
		err4 = errors.Join(p.SetControlMessage(ipv4.FlagInterface|ipv4.FlagDst, true), p.SetMulticastLoopback(true),
			p.SetMulticastTTL(255))
		if l.v4 = p; joined == 0 || err4 != nil {
			_, l.v4, err4 = c.Close(), nil, errors.Join(err4, errors.New("no interface takes IPv4 multicast"))
		}
	}
	if c, err := net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(group6, mdnsPort))); err != nil {
		err6 = err
	} else {
		_ = c.SetReadBuffer(1 << 20)
		p := ipv6.NewPacketConn(c)
		joined := 0
		for _, i := range n.interfaces {
			if p.JoinGroup(&i, &net.UDPAddr{IP: group6.AsSlice()}) == nil {
				joined++
			}
		}
		err6 = errors.Join(p.SetControlMessage(ipv6.FlagInterface|ipv6.FlagDst, true), p.SetMulticastLoopback(true),
			p.SetMulticastHopLimit(255))
		if l.v6 = p; joined == 0 || err6 != nil {
			_, l.v6, err6 = c.Close(), nil, errors.Join(err6, errors.New("no interface takes IPv6 multicast"))
		}
	}
	if l.v4 == nil && l.v6 == nil {
		return nil, fmt.Errorf("listen for mDNS: %w", errors.Join(err4, err6))
	}
	return l, nil
}

// run passes every packet that came over an allowed way to receive, until ctx ends; then it closes the sockets.
func (l *listener) run(ctx context.Context, receive func(msg []byte, index int), count func(string)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	if l.v4 != nil {
		wg.Go(func() {
			read(func(b []byte) (int, int, net.IP, net.Addr, error) {
				n, cm, src, err := l.v4.ReadFrom(b)
				if err != nil || cm == nil {
					return n, 0, nil, src, err
				}
				return n, cm.IfIndex, cm.Dst, src, nil
			}, l.net, receive, count)
		})
	}
	if l.v6 != nil {
		wg.Go(func() {
			read(func(b []byte) (int, int, net.IP, net.Addr, error) {
				n, cm, src, err := l.v6.ReadFrom(b)
				if err != nil || cm == nil {
					return n, 0, nil, src, err
				}
				return n, cm.IfIndex, cm.Dst, src, nil
			}, l.net, receive, count)
		})
	}
	<-ctx.Done()
	l.close()
}

// close ends the readers.
func (l *listener) close() {
	if l.v4 != nil {
		_ = l.v4.Close()
	}
	if l.v6 != nil {
		_ = l.v6.Close()
	}
}

// read passes on mDNS packets from allowed interfaces and subnets until the socket is closed.
func read(
	from func([]byte) (n, index int, dst net.IP, src net.Addr, err error), n *network, receive func([]byte, int),
	count func(string),
) {
	b := make([]byte, 9000) // RFC 6762, 17
	for {
		size, index, dst, src, err := from(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // an interface went down: the next look at the interfaces ends this
			continue
		}
		a, ok := src.(*net.UDPAddr)
		switch {
		case !ok || !n.allows(index):
			count("mdns over another interface")
		case a.Port != mdnsPort:
			// a one-shot query, or an answer that RFC 6762, section 6, ignores
			count("mdns from another port")
		case !dst.IsMulticast() && !onLink(n, a, index):
			count("mdns from outside the subnets") // RFC 6762, 11
		default:
			receive(b[:size], index)
		}
	}
}

func onLink(n *network, a *net.UDPAddr, index int) bool {
	_, ok := n.place(a.AddrPort().Addr(), index)
	return ok
}

// ask sends the questions, as few packets as hold them, over every interface. What cannot be sent is asked again
// anyway.
func (l *listener) ask(ctx context.Context, questions []dns.Question) {
	for len(questions) > 0 {
		m := dns.Msg{Compress: true}
		for len(questions) > 0 && len(m.Question) < 40 {
			m.Question = append(m.Question, questions[0])
			if m.Len() > 1200 && len(m.Question) > 1 {
				m.Question = m.Question[:len(m.Question)-1]
				break
			}
			questions = questions[1:]
		}
		if b, err := m.Pack(); err == nil {
			l.send(b)
		}
		if len(questions) > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(packetPause):
			}
		}
	}
}

// sendAll sends the packets of one query over every interface.
func (l *listener) sendAll(ctx context.Context, packets [][]byte) {
	for n, b := range packets {
		if n > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(packetPause):
			}
		}
		l.send(b)
	}
}

// packetPause is how long to wait between two packets: a burst would drown the answers.
const packetPause = 5 * time.Millisecond

// send multicasts a packet on every interface, in each address family that was joined.
func (l *listener) send(b []byte) {
	for _, i := range l.net.interfaces {
		if l.v4 != nil {
			_, _ = l.v4.WriteTo(
				b, &ipv4.ControlMessage{IfIndex: i.Index}, net.UDPAddrFromAddrPort(netip.AddrPortFrom(group4, mdnsPort)),
			)
		}
		if l.v6 != nil {
			_, _ = l.v6.WriteTo(
				b, &ipv6.ControlMessage{IfIndex: i.Index}, net.UDPAddrFromAddrPort(netip.AddrPortFrom(group6, mdnsPort)),
			)
		}
	}
}
