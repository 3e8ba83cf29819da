package smart_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/devices/smart"
)

func TestADeviceIsRestartedOnlyByWhoHoldsItsCredential(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	ds := play(
		t, plug(email, "old-password", sim.Bare), plug("bob@example.org", "bobs"), older(email, "old-password"),
		older("bob@example.org", "bobs"),
	)
	b := purse(9)
	for i, d := range ds {
		var r interface {
			Restart(context.Context, home.Device, home.Candidates) error
		} = driver(t)
		if d.Protocol() == home.SmartAES {
			r = aes(t, smart.AESOptions{Budget: b})
		}
		err := r.Restart(t.Context(), seen(d), agreedBoth)
		if mine := i%2 == 0; mine != (err == nil) || mine != slices.Contains(d.Commands(), "device_reboot") ||
			!mine && !errors.Is(err, home.ErrNotOpened) && !errors.Is(err, home.ErrForeign) && !errors.Is(err, home.ErrBudget) {
			t.Errorf("device %d: %v, it ran %q", i, err, d.Commands())
		}
	}
}
