package announce_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"

	"github.com/rekeyd/rekeyd/cloudlink/announce"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

const hubs = "_rekeyd-hub._tcp"

// The announcement is received as packets, by no code of zeroconf: it appears, and a goodbye comes at the end.
func TestAServiceIsAnnouncedWheneverTheNetworkComes(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	lan := nettest.Link(t, "lan0", "10.9.0.1/24")
	group := &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}
	c, err := net.ListenUDP("udp4", group)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := ipv4.NewPacketConn(c).JoinGroup(&lan, group); err != nil {
		t.Fatal(err)
	}
	// await returns the records of the first answer that has a PTR of the hub with a lifetime, or without one.
	await := func(goodbye bool) []dns.RR {
		t.Helper()
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		b := make([]byte, 9000)
		for {
			n, _, err := c.ReadFromUDP(b)
			if err != nil {
				t.Fatalf("goodbye %t: %v", goodbye, err)
			}
			var m dns.Msg
			if m.Unpack(b[:n]) != nil || !m.Response {
				continue
			}
			for _, rr := range m.Answer {
				p, ok := rr.(*dns.PTR)
				if ok && p.Hdr.Name == hubs+".local." && p.Ptr == "hub-1."+hubs+".local." &&
					(p.Hdr.Ttl == 0) == goodbye {
					return append(m.Answer, m.Extra...)
				}
			}
		}
	}
	listed := 0
	later := func() ([]net.Interface, error) { // as at the start of a machine: first failing, then none, then the LAN
		switch listed++; listed {
		case 1:
			return nil, errors.New("not yet")
		case 2:
			return nil, nil
		}
		return announce.Multicast()
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- announce.Service{
			Instance: "hub-1", Type: hubs, Port: 7353, TXT: []string{"id=hub-1", "version=1.2"}, Poll: 50 * time.Millisecond,
			Interfaces: later, Log: slog.New(slog.DiscardHandler),
		}.Run(ctx)
	}()
	var port uint16
	var txt []string
	var at net.IP
	for _, rr := range await(false) {
		switch rr := rr.(type) {
		case *dns.SRV:
			port = rr.Port
		case *dns.TXT:
			txt = rr.Txt
		case *dns.A:
			at = rr.A
		}
	}
	if port != 7353 || !slices.Contains(txt, "id=hub-1") || !slices.Contains(txt, "version=1.2") ||
		!at.Equal(net.IPv4(10, 9, 0, 1)) {
		t.Errorf("announced port %d, %q, at %s", port, txt, at)
	}
	stop()
	await(true)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := (announce.Service{}).Run(t.Context()); err == nil {
		t.Error("a service without name and port is announced")
	}
}
