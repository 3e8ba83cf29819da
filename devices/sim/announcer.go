package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"
)

// announcer answers mDNS questions (RFC 6762) for the devices of a house, all over one socket: one responder a device,
// each with sockets and interfaces of its own, would not serve a house of a thousand.
type announcer struct {
	log     *slog.Logger
	raw     *net.UDPConn
	conn    *ipv4.PacketConn
	index   int
	news    chan *Device // to be announced
	devices []*Device
}

var mdnsGroup = &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}

// newAnnouncer opens the socket.
func newAnnouncer(on *net.Interface, devices []*Device, log *slog.Logger) (*announcer, error) {
	raw, err := net.ListenUDP("udp4", mdnsGroup) // shares the port with other responders: Go sees that it is a group
	if err != nil {
		return nil, err
	}
	_ = raw.SetReadBuffer(1 << 20)
	p := ipv4.NewPacketConn(raw)
	err = errors.Join(
		p.JoinGroup(on, mdnsGroup), p.SetMulticastInterface(on), p.SetMulticastLoopback(true), p.SetMulticastTTL(255),
	)
	// Where the system cannot report by which interface a question came, all questions are answered, on the one interface.
	_ = p.SetControlMessage(ipv4.FlagInterface, true)
	if err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("interface %s: %w", on.Name, err)
	}
	devices = slices.DeleteFunc(slices.Clone(devices), func(d *Device) bool { return d.body.announcement().service == "" })
	c := &announcer{
		log: log, raw: raw, conn: p, index: on.Index, news: make(chan *Device, 2*len(devices)),
		devices: devices,
	}
	for _, d := range devices {
		d.announced = func() {
			select {
			case c.news <- d:
			default:
			}
		}
	}
	return c, nil
}

// loopback returns the loopback interface, on which devices are announced.
func loopback() (*net.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 && i.Flags&net.FlagUp != 0 {
			return &i, nil
		}
	}
	return nil, errors.New("there is no loopback interface that is up")
}

// Close closes the socket, without goodbyes.
func (c *announcer) Close() error { return c.raw.Close() }

// run announces the devices that are on, answers until ctx ends, and sends goodbyes.
func (c *announcer) run(ctx context.Context) {
	var parts sync.WaitGroup
	parts.Go(func() { c.answer(ctx) })
	parts.Go(func() { c.announce(ctx) })
	<-ctx.Done()
	for _, d := range c.devices {
		if d.On() {
			c.multicast(message(d.body.announcement().ptr(0)))
		}
	}
	_ = c.Close()
	parts.Wait()
}

// announce announces every device that is on, now and once more after a second (RFC 6762, 8.3), and of those that are
// switched on later.
func (c *announcer) announce(ctx context.Context) {
	for range 2 {
		for _, d := range c.devices {
			if ctx.Err() == nil && d.On() {
				c.multicast(d.body.announcement().full())
			}
		}
		if !pause(ctx, time.Second) {
			return
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-c.news:
			if d.On() {
				c.multicast(d.body.announcement().full())
			}
		}
	}
}

// multicast sends a message, at a pace that receivers keep up with.
func (c *announcer) multicast(m *dns.Msg) { c.send(m, mdnsGroup) }

// send sends one message. The pause keeps a house of a thousand from overrunning the receivers' buffers.
func (c *announcer) send(m *dns.Msg, to net.Addr) {
	b, err := m.Pack()
	if err != nil {
		c.log.Error("announcement not packed", "err", err)
		return
	}
	_, _ = c.conn.WriteTo(b, &ipv4.ControlMessage{IfIndex: c.index}, to)
	time.Sleep(20 * time.Microsecond)
}

// answer answers mDNS questions until ctx ends.
func (c *announcer) answer(ctx context.Context) {
	b := make([]byte, 9000)
	for {
		n, cm, from, err := c.conn.ReadFrom(b)
		if err != nil {
			if errors.Is(err, net.ErrClosed) || !pause(ctx, time.Millisecond) {
				return
			}
			continue
		}
		var q dns.Msg
		if cm != nil && cm.IfIndex != c.index || q.Unpack(b[:n]) != nil || q.Response {
			continue
		}
		asker, ok := from.(*net.UDPAddr)
		if !ok {
			continue
		}
		for _, m := range c.answers(&q) {
			if ctx.Err() != nil {
				return
			}
			if asker.Port == mdnsGroup.Port {
				c.multicast(m)
				continue
			}
			// One that asks from another port is no responder itself and receives no multicast (RFC 6762, 6.7).
			m.Id, m.Question = q.Id, q.Question
			plain(m)
			c.send(m, asker)
		}
	}
}

// asked is the set of questions of one message. Each is answered once, however often it stands there.
type asked map[dns.Question]bool

func (a asked) is(name string, types ...uint16) bool {
	for _, t := range append(types, dns.TypeANY) {
		if a[dns.Question{Name: strings.ToLower(name), Qtype: t}] {
			return true
		}
	}
	return false
}

// answers returns at most one message for each device that q asks for, and one for each type of service where it asks
// for these.
func (c *announcer) answers(q *dns.Msg) []*dns.Msg {
	want := asked{}
	for _, one := range q.Question {
		want[dns.Question{Name: strings.ToLower(one.Name), Qtype: one.Qtype}] = true
	}
	known := map[string]bool{} // what the asker has received (RFC 6762, 7.1)
	for _, rr := range q.Answer {
		if p, ok := rr.(*dns.PTR); ok && p.Hdr.Ttl >= longTTL/2 {
			known[strings.ToLower(p.Ptr)] = true
		}
	}
	var out []*dns.Msg
	types := map[string]bool{}
	for _, d := range c.devices {
		if !d.On() {
			continue
		}
		a := d.body.announcement()
		if want.is(allTypes, dns.TypePTR) && !types[a.service] {
			types[a.service] = true
			out = append(out, message(&dns.PTR{Hdr: header(allTypes, dns.TypePTR, dns.ClassINET, longTTL), Ptr: a.service}))
		}
		switch {
		case want.is(a.service, dns.TypePTR) && !known[strings.ToLower(a.name())]:
			out = append(out, a.full())
		case want.is(a.name(), dns.TypeSRV, dns.TypeTXT):
			m := message(a.srv(), a.texts())
			m.Extra = []dns.RR{a.address()}
			out = append(out, m)
		case want.is(a.host, dns.TypeA):
			out = append(out, message(a.address()))
		}
	}
	return out
}
