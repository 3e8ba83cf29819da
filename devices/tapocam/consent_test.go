package tapocam_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/devices/tapocam"
)

// Firmware that proves nothing receives no secret unless the owner has agreed, and the consent counts at once.
func TestOlderFirmwareReceivesNoSecretWithoutTheOwnersConsent(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	all := play(t, camera("old-password", sim.Hashed), camera("old-password"))
	b := purse()
	d := driver(t, tapocam.Options{Budget: b})
	vault, m := both, move
	vault.Terms.Cleartext, m.Terms.Cleartext = false, false
	f := probe(t, d, seen(all[0]), vault)
	expect(t, f, home.Unknown, home.Unsupported, 0)
	if f.Rank != home.HashFirst {
		t.Errorf("rank %s before consent, want %s", f.Rank, home.HashFirst)
	}
	if err := d.Rekey(t.Context(), seen(all[0]), m); !errors.Is(err, home.ErrRefused) ||
		!strings.Contains(home.HintOf(err), "rekeyd bind --allow-cleartext-bind") {
		t.Errorf("got %v, %s", err, home.HintOf(err))
	}
	if b.calls != 0 || len(all[0].Commands()) != 0 {
		t.Errorf("%d sign-ins, it ran %q", b.calls, all[0].Commands())
	}
	f = probe(t, d, seen(all[1]), vault)
	expect(t, f, home.Ours, home.Stale, 4) // it proves what it holds
	if f.Rank != 0 {
		t.Errorf("rank %s for firmware that proves first, want the protocol's", f.Rank)
	}
	f = probe(t, d, seen(all[0]), both)
	expect(t, f, home.Ours, home.Stale, 4)
	if f.Rank != home.HashFirst {
		t.Errorf("rank %s after a hash was sent, want %s", f.Rank, home.HashFirst)
	}
}

// The owner that a camera states is unproven: what it proves wins, and where it can prove nothing no sign-in is spent
// on another's.
func TestAnothersCameraIsLeftAlone(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for name, c := range map[string]struct {
		spec  sim.Spec
		owner string
		match home.Match
		state home.State
		epoch home.Epoch
		err   error
	}{
		"another's, and proves none": {
			camera("bobs"), home.OwnerOf("bob@example.org"), home.Foreign, home.ForeignHeld, 0,
			home.ErrForeign,
		},
		"another's, and proves ours": {
			camera("old-password"), home.OwnerOf("bob@example.org"), home.Ours, home.Stale, 4,
			nil,
		},
		"another's, and cannot prove": {
			camera("old-password", sim.Hashed), home.OwnerOf("bob@example.org"), home.Foreign,
			home.ForeignHeld, 0, home.ErrForeign,
		},
		"no owner, and proves none": {camera("bobs"), home.NoOwner, home.Unknown, home.Mismatch, 0, home.ErrNotOpened},
		"ours, and proves none": {
			camera("bobs"), home.OwnerOf(email), home.Unknown, home.Mismatch, 0,
			home.ErrNotOpened,
		},
		"ours, and cannot prove": {
			camera("old-password", sim.Hashed, sim.DERKey), home.OwnerOf(email), home.Ours, home.Stale, 4,
			nil,
		},
		"states none, proves nothing": {camera("bobs", sim.Hashed), "", home.Unknown, home.Mismatch, 0, home.ErrNotOpened},
	} {
		t.Run(name, func(t *testing.T) {
			s := play(t, c.spec)[0]
			defer s.PowerOff()
			b := purse()
			b.limit = 10
			d := driver(t, tapocam.Options{Budget: b})
			dev := seen(s)
			dev.Owner = c.owner
			expect(t, probe(t, d, dev, both), c.match, c.state, c.epoch)
			if c.match == home.Foreign && b.calls != 0 {
				t.Errorf("%d sign-ins", b.calls)
			}
			if err := d.Rekey(t.Context(), dev, move); !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("got %v, want %v", err, c.err)
			}
		})
	}
}
