package app

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/grandcat/zeroconf"

	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// A second hub of TP-Link's cloud in the network is reported; the hub itself, and a hub of another provider, are not.
func TestASecondHubOfTheVendorsCloudIsReported(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	lo := nettest.Loopback(t)
	vendor := true
	p := &peers{
		self: "hub-a", log: slog.New(slog.DiscardHandler), seen: map[string]time.Time{},
		vendor: func() bool { return vendor },
	}
	for _, hub := range []string{"hub-a", "hub-b"} {
		s, err := zeroconf.RegisterProxy(
			hub, peerService, "local.", 7353, "host-"+hub, []string{"127.0.0.1"}, nil, []net.Interface{lo},
		)
		ok(t, err)
		defer s.Shutdown()
	}
	for end := time.Now().Add(time.Minute); len(p.troubles(time.Now())) == 0 && time.Now().Before(end); {
		ok(t, p.look(t.Context(), []net.Interface{lo}))
	}
	got := p.troubles(time.Now())
	if len(got) != 1 || !strings.Contains(got[0].What, "(hub-b)") || got[0].Hint == "" {
		t.Errorf("troubles %v, want one that names hub-b", got)
	}
	vendor = false
	if got := p.troubles(time.Now()); len(got) != 0 {
		t.Errorf("with another provider: %v", got)
	}
	vendor = true
	if got := p.troubles(time.Now().Add(2 * peersKept)); len(got) != 0 {
		t.Errorf("long after it was gone: %v", got)
	}
}
