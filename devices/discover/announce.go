package discover

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/grandcat/zeroconf"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// HubService is the service type of hubs. The port is that of the page of the house.
const HubService = "_rekeyd-hub._tcp"

// HubAnnouncement announces a hub by DNS-SD, so that browsers of the LAN find the page of the house. It carries no
// secret.
type HubAnnouncement struct {
	ID      home.HubID
	Port    uint16
	Version string
	// Interfaces are those to announce on. Loopback addresses are never announced.
	Interfaces Interfaces
	Poll       time.Duration // how often the interfaces are listed; 10 s when zero
	Log        *slog.Logger
}

// Run announces the hub until ctx ends, and anew whenever the interfaces change. An interface that cannot be used is
// tried again.
func (a HubAnnouncement) Run(ctx context.Context) error {
	if a.ID == "" || a.Port == 0 || a.Log == nil {
		return errors.New("announce hub: name, port and log are required")
	}
	if a.Poll == 0 {
		a.Poll = 10 * time.Second
	}
	var now *network
	for {
		next := awaitNetwork(ctx, a.Interfaces, a.Poll, now, func() {})
		if ctx.Err() != nil {
			return nil
		}
		now = next
		if now.empty() {
			continue
		}
		s, err := zeroconf.Register(string(a.ID), HubService, "local.", int(a.Port), a.txt(), now.interfaces)
		if err != nil {
			a.Log.Warn("hub not announced", "err", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(a.Poll):
			}
			now = nil // try the same interfaces again
			continue
		}
		a.Log.Debug("hub announced", "interfaces", names(now))
		awaitNetwork(ctx, a.Interfaces, a.Poll, now, func() {})
		s.Shutdown() // sends goodbyes
		now = nil
		if ctx.Err() != nil {
			return nil
		}
	}
}

func (a HubAnnouncement) txt() []string {
	return []string{"id=" + string(a.ID), "version=" + a.Version, "path=/"}
}
