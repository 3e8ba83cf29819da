package discover_test

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover"
	"github.com/rekeyd/rekeyd/devices/discover/discovertest"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// The announcement is received as packets, by no code of zeroconf: it appears, and a goodbye comes at the end.
func TestHubIsAnnounced(t *testing.T) {
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
				if ok && p.Hdr.Name == discover.HubService+".local." && p.Ptr == "hub-1."+discover.HubService+".local." &&
					(p.Hdr.Ttl == 0) == goodbye {
					return append(m.Answer, m.Extra...)
				}
			}
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- discover.HubAnnouncement{
			ID: "hub-1", Port: 7353, Version: "1.2", Interfaces: discover.Interfaces{"lan0"}, Poll: 50 * time.Millisecond,
			Log: slog.New(slog.DiscardHandler),
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
	if err := (discover.HubAnnouncement{}).Run(t.Context()); err == nil {
		t.Error("a hub without name and port is announced")
	}
}

// After the first sweeps, and the questions that follow something new, zeroconf alone asks for service types. A device
// that appears then, and announces nothing, is found.
func TestLaterSweepsFindASilentDevice(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	services := discovertest.Many(2, base)
	r := &discovertest.Responder{}
	r.Start(t, nettest.Loopback(t), services[0])
	o := onLoopback()
	o.Pace.Quick = 1
	w := start(t, o)
	w.until(t, 40*time.Second, "the first device", present(1))
	w.mu.Lock()
	var since time.Time
	for _, s := range w.last {
		since = s.At
	}
	w.mu.Unlock()
	w.until(t, time.Minute, "the first device in a later sweep", func(m map[string]home.Sighting) bool {
		for _, s := range m {
			return s.At.After(since.Add(5 * time.Second))
		}
		return false
	})
	r.Set(services...)
	w.until(t, time.Minute, "a device that appeared in silence", present(2))
}
