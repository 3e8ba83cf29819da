package account_test

import (
	"fmt"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// BenchmarkSignIn signs devices in, one request after the other, durable.
func BenchmarkSignIn(b *testing.B) {
	c := open(b, nil)
	_, hub, secret := c.enrolled()
	var gs []gadget
	for part := range 8 {
		var ds []wire.Device
		var ss []home.Key
		for i := range 256 {
			g := gadget{fmt.Sprintf("mac-50c7bf%02x%04x", part, i), home.KeyBytes(wire.NewSeed())}
			gs, ds, ss = append(gs, g), append(ds, wire.Device{ID: g.id, Kind: "plug", Protocol: "iot"}), append(ss, g.secret)
		}
		want[*wire.Receipt](b, hub.bind(ds, ss))
	}
	n := 0
	for b.Loop() {
		hub.signIn(1, secret, gs)
		n += len(gs)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "devices/s")
}
