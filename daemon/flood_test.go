package daemon_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// silence is a driver for which every address outside 127.9.0.0/16 is silent: a probe there ends after five seconds.
// The devices at the other addresses are those of its lan.
type silence struct {
	*lan
	mu     sync.Mutex // guards the fields below
	inside map[netip.Addr]int
	now    int                        // probes of silent addresses at this moment
	most   int                        // of them at once
	twice  bool                       // two of them at one address at once
	began  map[netip.Addr][]time.Time // when the probes began
}

func quiet(l *lan) *silence {
	return &silence{lan: l, inside: map[netip.Addr]int{}, began: map[netip.Addr][]time.Time{}}
}

func (s *silence) Probe(ctx context.Context, d home.Device, c home.Candidates) (home.Finding, error) {
	at := d.Addr.Addr()
	if netip.MustParsePrefix("127.9.0.0/16").Contains(at) {
		return s.lan.Probe(ctx, d, c)
	}
	s.mu.Lock()
	s.began[at] = append(s.began[at], time.Now())
	s.inside[at]++
	s.now++
	s.most = max(s.most, s.now)
	s.twice = s.twice || s.inside[at] > 1
	s.mu.Unlock()
	time.Sleep(5 * time.Second)
	s.mu.Lock()
	s.inside[at]--
	s.now--
	s.mu.Unlock()
	return home.Finding{Match: home.Unknown, Device: d, Verdict: home.Verdict{State: home.Unreachable}}, nil
}

// announce sights n devices that never answer; at gives the address of each. They claim to be at others, too.
func (s *silence) announce(n int, at func(i int) netip.Addr, others ...netip.AddrPort) {
	var all []home.Sighting
	for i := range n {
		all = append(all, home.Sighting{
			Source: "iot-udp", Protocol: home.IOT, Keys: []string{fmt.Sprintf("mac:0a0000%06x", i)}, Kind: home.Plug,
			Name: fmt.Sprintf("silent %d", i), Addr: netip.AddrPortFrom(at(i), 9999), Match: home.Unknown, At: time.Now(),
			AlsoAt: others,
		})
	}
	s.sightings <- all
}

// Finding 10 of issue 9: 3,000 announcements of devices that do not answer delayed the devices of the house by 947 s.
func TestSilentAnnouncementsDoNotDelayTheHouse(t *testing.T) {
	for name, at := range map[string]func(int) netip.Addr{
		"many addresses": func(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 10, byte(i >> 8), byte(i)}) },
		"one other":      func(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 11, byte(i >> 8), byte(i)}) },
		"one address":    func(int) netip.Addr { return netip.MustParseAddr("127.10.0.1") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				s := quiet(h.lan)
				h.drive(map[home.Protocol]daemon.Driver{home.IOT: s})
				h.lan.held[front] = &played{match: home.Ours, holds: 1}
				h.lan.held[back] = &played{match: home.Ours, holds: 1}
				h.run(func() {
					h.take(front)
					time.Sleep(time.Second)
					var others []netip.AddrPort
					if name == "one other" {
						others = []netip.AddrPort{netip.MustParseAddrPort("127.10.0.1:9999")}
					}
					for range 3 { // the flood goes on: each sighting of a silent device would schedule it anew
						s.announce(3000, at, others...)
						time.Sleep(20 * time.Second)
					}
					h.begin(2)
					time.Sleep(2 * time.Second)
					if p := h.lan.now(front); p.holds != 2 {
						t.Errorf("the device of the house holds epoch %d two seconds after epoch 2 began", p.holds)
					}
					h.see(front, back)
					synctest.Wait()
					h.bind(back)
					time.Sleep(2 * time.Second)
					if p := h.lan.now(back); p.holds != 2 {
						t.Errorf("a device that its owner bound holds epoch %d two seconds later", p.holds)
					}
				})
				if s.most > 4 {
					t.Errorf("%d probes of unbound devices at once: more than a quarter of the 16 slots", s.most)
				}
				if s.twice {
					t.Error("one address was probed twice at once")
				}
			})
		})
	}
}

// An address without an answer is probed again after pauses that grow, however often a device is sighted there.
func TestPausesAtASilentAddressGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		s := quiet(h.lan)
		h.drive(map[home.Protocol]daemon.Driver{home.IOT: s})
		at := netip.MustParseAddr("127.10.0.1")
		h.run(func() {
			for range 720 { // an hour
				s.announce(20, func(int) netip.Addr { return at })
				time.Sleep(5 * time.Second)
			}
		})
		began := s.began[at]
		if n := len(began); n < 10 || n > 30 {
			t.Fatalf("%d probes in an hour", n)
		}
		for i := 2; i < len(began); i++ {
			before, pause := began[i-1].Sub(began[i-2]), began[i].Sub(began[i-1])
			if pause < before || pause > 6*time.Minute {
				t.Errorf("probe %d came %v after the one before, which had come after %v", i, pause, before)
			}
		}
	})
}

// A flood of devices that come and go leaves nothing in the tables of the engine.
func TestDevicesThatCameAndWentLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		s := quiet(h.lan)
		h.drive(map[home.Protocol]daemon.Driver{home.IOT: s})
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			h.take(front)
			for wave := range 20 {
				var all []home.Sighting
				for i := range 100 {
					all = append(all, home.Sighting{
						Source: "iot-udp", Protocol: home.IOT, Keys: []string{fmt.Sprintf("mac:0a%04x%06x", wave, i)},
						Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 10, byte(wave), byte(i)}), 9999), At: time.Now(),
					})
				}
				s.sightings <- all
				time.Sleep(10 * time.Minute)
				gone := slices.Clone(all)
				for i := range gone {
					gone[i].Gone, gone[i].At = true, time.Now()
				}
				s.sightings <- gone
				time.Sleep(time.Minute)
			}
			time.Sleep(2 * time.Hour)
			s.announce(1, func(int) netip.Addr { return netip.MustParseAddr("127.10.0.1") }) // a sweep follows a change
			time.Sleep(time.Second)
		})
		for table, n := range h.engine.Sizes() {
			if n > 200 {
				t.Errorf("%d entries in %s", n, table)
			}
		}
	})
}
