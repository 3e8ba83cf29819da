package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// A flood at every port and of announcements keeps neither a reset from reaching the devices nor the daemon from
// working as before once it is over, however few files the process may open and with 64 MB of memory. The devices
// are switched on while the flood is at its height. FLOOD_SOAK tries more limits.
func TestTheHouseIsMovedDuringAFlood(t *testing.T) {
	limits := []string{"64 files", "64 MB"}
	if os.Getenv("FLOOD_SOAK") != "" {
		limits = []string{"64 files", "128 files", "256 files", "64 MB"}
	}
	for _, limit := range limits {
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			if nettest.InNamespace(t) {
				moveDuringAFlood(t, limit)
			}
		})
	}
}

func moveDuringAFlood(t *testing.T, limit string) {
	r := newRig(t, "plug:iot=2,bulb:klap2=1,camera:native=1")
	devices := r.house.Devices()
	peak := func() int { return 0 } // in bytes
	switch n, unit, _ := strings.Cut(limit, " "); unit {
	case "files":
		r.enter = []string{"prlimit", "--nofile=" + n + ":" + n}
	default:
		r.enter, peak = memory(t, 64<<20)
	}
	r.setUp("password-number-001")
	for _, d := range devices {
		d.PowerOff()
	}
	ok(t, r.change("password-number-001", "password-number-002"))
	r.await("epoch 2", 2*time.Minute, func(s daemon.Status) bool { return s.Epoch == 2 })

	f := flood(t)
	f.awaitHeight(t)
	r.await("a stranger in the list", time.Minute, func(s daemon.Status) bool {
		return slices.ContainsFunc(s.Devices, func(d daemon.Row) bool { return strings.HasPrefix(d.Name, "stranger-") })
	})
	r.kill()
	began := time.Now()
	r.start()
	r.await("link up during the flood", 2*time.Minute, func(s daemon.Status) bool { return s.Link == "up" })
	t.Logf("started again, with its link up, in %v", time.Since(began).Round(100*time.Millisecond))
	for _, d := range devices {
		ok(t, d.PowerOn())
	}
	for end := time.Now().Add(3 * time.Minute); r.holding("password-number-002", 2) < len(devices); {
		if time.Now().After(end) {
			t.Fatalf("%d of %d devices moved\n%s", r.holding("password-number-002", 2), len(devices), r.log.String())
		}
		time.Sleep(50 * time.Millisecond)
	}
	f.stop()
	t.Logf("during the flood: %d connections, %d announcements; peak of memory %d KB", f.conns.Load(), f.packets.Load(),
		peak()>>10)
	began = time.Now()
	r.await("recovery", 2*time.Minute, func(s daemon.Status) bool {
		return s.Link == "up" && allCurrent(len(devices), 2)(s) && r.knows("password-number-002")
	})
	t.Logf("recovered %v after it", time.Since(began).Round(100*time.Millisecond))
	if strings.Contains(r.log.String(), "panic") {
		t.Errorf("a part failed:\n%s", r.log.String())
	}
}

// memory returns the begin of a command line with a limit of memory, and how much the process has used at most. Where no
// control group can be made, the process limits itself, and the peak is checked.
func memory(t *testing.T, most int) (enter []string, peak func() int) {
	group, limit := "/sys/fs/cgroup/rekeyd-flood-"+strconv.Itoa(os.Getpid()), "memory.max"
	used := "memory.peak"
	if _, err := os.Stat("/sys/fs/cgroup/memory"); err == nil {
		group = "/sys/fs/cgroup/memory/rekeyd-flood-" + strconv.Itoa(os.Getpid())
		limit, used = "memory.limit_in_bytes", "memory.max_usage_in_bytes"
	}
	err := os.Mkdir(group, 0o755)
	if err == nil {
		t.Cleanup(func() { _ = os.Remove(group) })
		err = os.WriteFile(filepath.Join(group, limit), []byte(strconv.Itoa(most)), 0o600)
	}
	if err != nil {
		t.Logf("no control group (%v): the limit is the process's own", err)
		return []string{"env", fmt.Sprint("GOMEMLIMIT=", most*9/10)}, func() int { return 0 }
	}
	return []string{"sh", "-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(group, "cgroup.procs")}, func() int {
		raw, err := os.ReadFile(filepath.Join(group, used))
		ok(t, err)
		n, err := strconv.Atoi(strings.TrimSpace(string(raw)))
		ok(t, err)
		return n
	}
}

// flooding is a flood of silent and of rubbish connections, of datagrams and of announcements, from many addresses.
type flooding struct {
	conns, packets atomic.Int64
	stop           func()
}

func flood(t *testing.T) *flooding {
	f := &flooding{}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	f.stop = sync.OnceFunc(func() { cancel(); parts.Wait() })
	t.Cleanup(f.stop)
	for _, port := range []string{defaultPage, defaultAccount, defaultBroker} {
		for i := range 4 {
			parts.Go(func() { f.connect(ctx, port, fmt.Sprint("127.0.1.", i)) })
		}
	}
	parts.Go(func() { f.announce(ctx, t) })
	return f
}

// connect holds up to 100 connections to a port from an address. Every other one sends rubbish.
func (f *flooding) connect(ctx context.Context, port, from string) {
	var open []net.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	rubbish := make([]byte, 4096)
	_, _ = rand.Read(rubbish)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Second}
	for ctx.Err() == nil {
		c, err := d.DialContext(ctx, "tcp", port)
		if err == nil {
			open = append(open, c)
			if f.conns.Add(1)%2 == 0 {
				_ = c.SetWriteDeadline(time.Now().Add(time.Second))
				_, _ = c.Write(rubbish)
			}
		}
		if len(open) > 100 {
			_ = open[0].Close()
			open = open[1:]
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// announce announces one new device after the other by mDNS, and sends rubbish to the ports of discovery.
func (f *flooding) announce(ctx context.Context, t *testing.T) {
	lo, group := nettest.Loopback(t), &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}
	c, err := net.ListenMulticastUDP("udp4", &lo, group) // announcements come from port 5353 (RFC 6762, 6)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	p := ipv4.NewPacketConn(c)
	if err := errors.Join(p.SetMulticastInterface(&lo), p.SetMulticastLoopback(true)); err != nil {
		t.Error(err)
		return
	}
	rubbish := make([]byte, 600)
	_, _ = rand.Read(rubbish)
	for i := 0; ctx.Err() == nil; i++ {
		raw, err := announcement(i).Pack()
		if err != nil {
			t.Error(err)
			return
		}
		for _, p := range [][]byte{raw, rubbish} {
			if _, err := c.WriteTo(p, group); err == nil {
				f.packets.Add(1)
			}
		}
		for _, port := range []int{9999, 20002, 5353} {
			_, _ = c.WriteTo(rubbish, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond):
		}
	}
}

// announcement announces device i.
func announcement(i int) *dns.Msg {
	const service = "_rekeyd._tcp.local."
	name, host := fmt.Sprintf("stranger-%d.%s", i, service), fmt.Sprintf("stranger-%d.local.", i)
	head := func(name string, kind uint16) dns.RR_Header {
		return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: 120}
	}
	m := &dns.Msg{MsgHdr: dns.MsgHdr{Response: true, Authoritative: true}}
	m.Answer = []dns.RR{
		&dns.PTR{Hdr: head(service, dns.TypePTR), Ptr: name},
		&dns.SRV{Hdr: head(name, dns.TypeSRV), Port: uint16(1 + i%60_000), Target: host},
		&dns.TXT{Hdr: head(name, dns.TypeTXT), Txt: []string{fmt.Sprintf("id=rk-%026d", i), "kind=plug"}},
		&dns.A{Hdr: head(host, dns.TypeA), A: net.IPv4(127, 54, byte(i>>8), byte(i))},
	}
	return m
}

// awaitHeight waits until the flood is more than the limits of the process allow.
func (f *flooding) awaitHeight(t *testing.T) {
	for end := time.Now().Add(time.Minute); f.conns.Load() < 1000 || f.packets.Load() < 500; {
		if time.Now().After(end) {
			t.Fatalf("the flood came to %d connections and %d announcements", f.conns.Load(), f.packets.Load())
		}
		time.Sleep(20 * time.Millisecond)
	}
}
