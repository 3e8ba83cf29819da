package daemon_test

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices"
)

// world is one run of the property.
type world struct {
	*house
	net   *attackers
	epoch home.Epoch
}

var (
	worldIDs   = []home.DeviceID{"mac-00000000000a", "mac-00000000000b"}
	worldAddrs = []netip.Addr{
		netip.MustParseAddr("127.9.0.1"), netip.MustParseAddr("127.9.0.2"), netip.MustParseAddr("127.9.0.3"),
	}
	worldProtocols = []home.Protocol{home.KLAP2, home.KLAP2, home.TapoCam, home.SmartAES, home.IOT, home.NC}
)

// step is one thing that happens. Which fields count depends on what.
type step struct {
	what     string
	id       home.DeviceID
	addr     netip.Addr
	host     host
	wait     time.Duration
	weakKey  bool
	protocol home.Protocol
}

var steps = rapid.Custom(func(t *rapid.T) step {
	s := step{
		what: rapid.SampledFrom([]string{
			"arrive", "arrive", "arrive", "arrive", "arrive", "host", "sight", "gone", "bind", "bind", "bind ours", "unbind",
			"later", "not later",
			"allow", "allow", "forbid", "epoch", "epoch", "exposed", "rekey", "rekey all", "wait", "wait", "restart", "remember",
			"device password", "camera", "camera",
		}).Draw(t, "what"),
		id:       rapid.SampledFrom(worldIDs).Draw(t, "id"),
		addr:     rapid.SampledFrom(worldAddrs).Draw(t, "addr"),
		protocol: rapid.SampledFrom(worldProtocols).Draw(t, "protocol"),
		weakKey:  rapid.Bool().Draw(t, "weak key"),
		wait: rapid.SampledFrom([]time.Duration{
			time.Second, time.Minute, 5 * time.Minute, 23 * time.Hour, 25 * time.Hour,
		}).Draw(t, "wait"),
	}
	s.host.protocol = s.protocol
	s.host.old = s.protocol == home.TapoCam && rapid.Bool().Draw(t, "old")
	s.host.greedy = rapid.Bool().Draw(t, "greedy")
	s.host.swapped = rapid.IntRange(0, 3).Draw(t, "swapped") == 0
	switch rapid.IntRange(0, 3).Draw(t, "holds") {
	case 0:
		s.host.fresh = rapid.SampledFrom([]home.State{home.Default, home.Blank}).Draw(t, "fresh")
	case 1: // a stranger
	default:
		s.host.knows = []home.Epoch{home.Epoch(rapid.IntRange(1, 4).Draw(t, "knows"))}
	}
	return s
})

// do carries out one step.
func (w *world) do(s step) {
	switch s.what {
	case "arrive":
		for _, what := range []string{"host", "sight"} {
			s.what = what
			w.do(s)
		}
	case "camera": // one that its owner opens
		s.host.protocol, s.host.old, s.protocol = home.NC, false, home.NC
		for _, what := range []string{"host", "sight", "bind", "device password", "allow"} {
			s.what = what
			w.do(s)
			time.Sleep(time.Second)
		}
	case "sight", "gone":
		keys := []string{"mac:" + string(s.id)[4:]}
		if s.weakKey {
			keys = append(keys, "iot:8006AA")
		}
		w.net.sightings <- []home.Sighting{{
			Source: "udp " + s.addr.String(), Protocol: s.protocol, Keys: keys, Kind: home.Plug, Match: home.Unknown,
			Addr: netip.AddrPortFrom(s.addr, s.protocol.Port()), At: time.Now(), Gone: s.what == "gone",
		}}
	case "host":
		h := s.host
		h.knows = slices.DeleteFunc(slices.Clone(h.knows), func(e home.Epoch) bool { return e > w.epoch })
		w.net.put(s.addr, h)
	case "bind":
		w.order(func(o *owner) { o.bind(s.id); o.fresh[s.id] = time.Now().Add(24 * time.Hour) },
			func() error { return w.engine.Bind([]home.DeviceID{s.id}) })
	case "bind ours":
		w.order(func(o *owner) { o.bind(s.id) },
			func() error { return w.engine.BindOurs([]home.DeviceID{s.id}) })
	case "later", "not later":
		on := s.what == "later"
		w.order(func(o *owner) { o.later = on }, func() error { return w.engine.BindLater(on) })
	case "unbind":
		w.order(func(o *owner) { o.unbind(s.id) }, func() error { return w.engine.Unbind([]home.DeviceID{s.id}) })
	case "allow":
		shown := w.shown(s.id)
		w.order(func(o *owner) { o.clear[s.id] = shown },
			func() error { return w.engine.AllowCleartext([]home.DeviceID{s.id}) })
	case "forbid":
		w.order(func(o *owner) { delete(o.clear, s.id) },
			func() error { return w.engine.ForbidCleartext([]home.DeviceID{s.id}) })
	case "epoch":
		w.epoch++
		w.begin(w.epoch)
	case "exposed":
		w.epoch++
		w.order(func(o *owner) { o.exposed = w.epoch }, func() error { return w.store.Expose(acct, w.epoch) })
		w.begin(w.epoch)
	case "rekey":
		w.order(func(o *owner) { o.moveAll[s.id] = o.exposed },
			func() error { return w.engine.Rekey([]home.DeviceID{s.id}, false) })
	case "rekey all":
		w.order(func(o *owner) {
			for id := range o.bound {
				o.moveAll[id] = o.exposed
			}
		}, w.engine.RekeyAll)
	case "device password":
		w.order(func(o *owner) { o.own[s.id] = true },
			func() error { return w.engine.OpenWith(s.id, home.NewSecret("of its web page")) })
	case "remember":
		_, err := w.engine.Remember("", []home.Secret{home.NewSecret("an-older-one")})
		must(w.t, err)
	case "wait":
		time.Sleep(s.wait)
	}
}

// order gives an order, which counts from then on. One that fails, for a device that is not bound for example, changes
// nothing.
func (w *world) order(change func(*owner), give func() error) {
	w.net.mu.Lock()
	before := w.net.owner.clone()
	w.net.before = &before
	change(&w.net.owner)
	w.net.mu.Unlock()
	err := give()
	synctest.Wait() // jobs that read the ledger before it have begun
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	w.net.before = nil
	if err != nil {
		w.net.owner = before
	}
}

// shown returns the address and protocol that the owner sees of a device.
func (w *world) shown(id home.DeviceID) clearAt {
	_, rows, err := w.engine.House()
	must(w.t, err)
	for _, r := range rows {
		if addr, err := netip.ParseAddrPort(r.Addr); err == nil && r.ID == id {
			return clearAt{addr.Addr(), r.Protocol}
		}
	}
	return clearAt{}
}

// live runs steps against an engine and a store of their own, and returns what arrived at the hosts.
func live(t *testing.T, all []step) (receipts []receipt) {
	synctest.Test(t, func(t *testing.T) {
		n := newAttackers()
		w := &world{house: newHouse(t), net: n, epoch: 1}
		for len(all) > 0 {
			drivers := map[home.Protocol]daemon.Driver{}
			for _, p := range worldProtocols {
				drivers[p] = n
			}
			var err error
			w.engine, err = daemon.New(daemon.Options{
				Ledger: w.store, Roster: devices.NewRoster(), Discovery: n, Log: slog.New(slog.DiscardHandler), Drivers: drivers,
			})
			must(t, err)
			w.run(func() {
				for len(all) > 0 {
					s := all[0]
					all = all[1:]
					w.do(s)
					time.Sleep(time.Second)
					if synctest.Wait(); s.what == "restart" {
						return
					}
				}
				time.Sleep(10 * time.Minute)
			})
		}
		receipts = n.receipts
	})
	return receipts
}

// certain holds, for each reason of the rule, steps in which a secret is sent for it: random steps may miss one.
var certain = map[string][]step{
	"proof":                 arrival(host{protocol: home.KLAP2, knows: []home.Epoch{1}}, "bind", "epoch"),
	"factory-fresh consent": arrival(host{protocol: home.KLAP2, fresh: home.Default}, "bind"),
	"cleartext consent":     arrival(host{protocol: home.IOT, knows: []home.Epoch{1}}, "bind", "allow", "epoch"),
	"its own password":      {{what: "camera", id: worldIDs[0], addr: worldAddrs[0]}},
}

// arrival returns the steps in which a host appears, and the steps that follow.
func arrival(h host, then ...string) (all []step) {
	for _, what := range append([]string{"arrive"}, then...) {
		all = append(all, step{what: what, id: worldIDs[0], addr: worldAddrs[0], host: h, protocol: h.protocol},
			step{what: "wait", wait: time.Minute})
	}
	return all
}

func TestNoSecretLeavesExceptAsTheRuleAllows(t *testing.T) {
	for why, all := range certain {
		if !reasons(t, t.Fatalf, all)[why] {
			t.Errorf("no secret was sent for the reason %q", why)
		}
	}
	rapid.Check(t, func(rt *rapid.T) { reasons(t, rt.Fatalf, rapid.SliceOfN(steps, 30, 60).Draw(rt, "steps")) })
}

// The owner resets a device and names it before the hub has asked it again.
func TestABoundDeviceThatWasResetIsNamedOnce(t *testing.T) {
	all := arrival(host{protocol: home.KLAP2, knows: []home.Epoch{1}}, "bind")
	reset := step{id: worldIDs[0], addr: worldAddrs[0], protocol: home.KLAP2}
	reset.host = host{protocol: home.KLAP2, fresh: home.Default}
	for _, reset.what = range []string{"host", "bind"} {
		all = append(all, reset)
	}
	if !reasons(t, t.Fatalf, append(all, step{what: "wait", wait: time.Minute}))["factory-fresh consent"] {
		t.Error("it received no password")
	}
}

// reasons returns for which reasons of the rule secrets are sent in these steps. One without a reason is fatal.
func reasons(t *testing.T, fatalf func(string, ...any), all []step) map[string]bool {
	found := map[string]bool{}
	for _, r := range live(t, all) {
		why := r.now.reason(r)
		for _, o := range r.began {
			why = cmp.Or(why, o.reason(r))
		}
		if why == "" {
			fatalf("%s at %s (%s) received the password of epoch %d, against the rule: %s",
				r.device, r.at, r.protocol, r.epoch, describe(r))
		}
		found[why] = true
		if r.own {
			found["its own password"] = true
		}
	}
	return found
}

func describe(r receipt) string {
	return fmt.Sprintf("rank %s, proved %v, factory-fresh %t; the owner's orders: %+v", r.rank, r.proved, r.fresh, r.now)
}
