package app

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/grandcat/zeroconf"

	"github.com/rekeyd/rekeyd/cloudlink/announce"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover"
)

// peerService is the DNS-SD type by which hubs of TP-Link's cloud find one another. That cloud knows no leases: nothing
// but their owners keeps two hubs from moving the same devices. The port is that of the hub's page.
const peerService = "_rekeyd-peer._tcp"

// Times of the search for other hubs.
const (
	peersEvery  = 5 * time.Minute
	peersWindow = 5 * time.Second
	peersKept   = 3 * peersEvery // after a hub was last seen
)

// peers finds other hubs on the LAN.
type peers struct {
	self       string
	port       uint16
	interfaces func() ([]net.Interface, error)
	vendor     func() bool // the account is one of TP-Link's cloud
	log        *slog.Logger

	mu   sync.Mutex // guards seen
	seen map[string]time.Time
}

func newPeers(h *Hub) *peers {
	port, _ := h.page.onLAN()
	return &peers{
		self: h.identity.Name, port: cmp.Or(port, 1), // a port is needed, and nothing dials it
		interfaces: discover.Interfaces(h.o.Interfaces).Up, log: h.o.Log.With("part", "other hubs"),
		seen: map[string]time.Time{},
		vendor: func() bool {
			a, err := h.store.Account()
			return err == nil && a.Provider == home.TPLink
		},
	}
}

// run announces this hub and looks for others, while the account is one of TP-Link's cloud.
func (p *peers) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if p.vendor() {
			p.serve(ctx)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Minute):
		}
	}
	return nil
}

// serve announces and looks until ctx ends or the account is another one.
func (p *peers) serve(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	var announcing sync.WaitGroup
	defer announcing.Wait()
	defer stop()
	announcing.Go(func() {
		a := announce.Service{Instance: p.self, Type: peerService, Port: p.port, Interfaces: p.interfaces, Log: p.log}
		if err := a.Run(ctx); err != nil {
			p.log.Warn("hub not announced", "err", err)
		}
	})
	for ctx.Err() == nil && p.vendor() {
		if all, err := p.interfaces(); err == nil && len(all) > 0 { // zeroconf uses every interface where it gets none
			if err := p.look(ctx, all); err != nil {
				p.log.Debug("other hubs not looked for", "err", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(peersEvery):
		}
	}
}

// look asks once. zeroconf needs a fresh resolver each time, and a reader that drains its channel.
func (p *peers) look(ctx context.Context, all []net.Interface) error {
	resolver, err := zeroconf.NewResolver(zeroconf.SelectIfaces(all), zeroconf.SelectIPTraffic(zeroconf.IPv4))
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, peersWindow)
	defer stop()
	entries := make(chan *zeroconf.ServiceEntry, 256)
	if err := resolver.Browse(ctx, peerService, "local.", entries); err != nil {
		return err
	}
	for e := range entries {
		p.saw(e.Instance, time.Now())
	}
	return nil
}

// saw records a hub. Anybody on the LAN can announce anything: few are kept, and nothing but a report follows.
func (p *peers) saw(hub string, now time.Time) {
	if hub == p.self || len(hub) > 64 || !strings.HasPrefix(hub, "hub-") {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.seen[hub]; known || len(p.seen) < 8 {
		p.seen[hub] = now
	}
}

// troubles returns the other hubs that were seen lately.
func (p *peers) troubles(now time.Time) []home.Trouble {
	if !p.vendor() {
		return nil
	}
	p.mu.Lock()
	var hubs []string
	for hub, at := range p.seen {
		if now.Sub(at) > peersKept {
			delete(p.seen, hub)
			continue
		}
		hubs = append(hubs, hub)
	}
	p.mu.Unlock()
	if len(hubs) == 0 {
		return nil
	}
	slices.Sort(hubs)
	return []home.Trouble{{
		What: "another hub with TP-Link's cloud is in this network (" + strings.Join(hubs, ", ") +
			"); with the same account both would move the same devices",
		Hint: "have one of them leave the account: stop it there, then run: rekeyd leave",
	}}
}
