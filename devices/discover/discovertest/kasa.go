package discovertest

import (
	"maps"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/net/ipv4"
)

// KasaHouse is devices that answer on UDP port 9999, each from its own address.
type KasaHouse struct {
	mu      sync.Mutex // guards replies
	replies map[netip.Addr][]byte
}

// Kasa starts a house that gives these replies, as they go over the wire, until the test ends. Broadcasts come to the
// wildcard only, so one socket listens for all.
func Kasa(t testing.TB, replies map[netip.Addr][]byte) *KasaHouse {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: 9999})
	if err != nil {
		t.Fatal(err)
	}
	p := ipv4.NewPacketConn(c)
	if err := p.SetControlMessage(ipv4.FlagDst, true); err != nil {
		t.Fatal(err)
	}
	h := &KasaHouse{replies: maps.Clone(replies)}
	var wg sync.WaitGroup
	wg.Go(func() { h.run(p) })
	t.Cleanup(func() { _ = c.Close(); wg.Wait() })
	return h
}

// Set gives the device at an address a reply, or takes it away (nil).
func (h *KasaHouse) Set(a netip.Addr, reply []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.replies[a] = reply; reply == nil {
		delete(h.replies, a)
	}
}

// run answers each datagram once for every device that it reaches, from that device's own address.
func (h *KasaHouse) run(p *ipv4.PacketConn) {
	b := make([]byte, 2000)
	for {
		_, cm, from, err := p.ReadFrom(b)
		if err != nil {
			return
		}
		h.mu.Lock()
		replies := maps.Clone(h.replies)
		h.mu.Unlock()
		dst, _ := netip.AddrFromSlice(cm.Dst)
		_, direct := replies[dst.Unmap()]
		for a, reply := range replies {
			if !direct || a == dst.Unmap() {
				_, _ = p.WriteTo(reply, &ipv4.ControlMessage{Src: a.AsSlice()}, from)
			}
		}
	}
}
