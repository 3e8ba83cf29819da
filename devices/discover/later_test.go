package discover_test

import (
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/discovertest"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

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
