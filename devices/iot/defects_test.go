package iot_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/iot"
	"github.com/rekeyd/rekeyd/devices/sim"
)

func TestDefectiveDevicesAreReportedAndNoneIsLost(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for _, c := range []struct {
		defect sim.Defect
		match  home.Match // before the rekey
		state  home.State
		rekey  error
		after  home.State
		again  home.State // after another rekey where the device is without an owner
		holds  *home.Credential
	}{
		{sim.Mute, home.Unknown, home.Unreachable, home.ErrUnreachable, home.Unreachable, "", &oldPair},
		{sim.Garbled, home.Unknown, home.Unreachable, home.ErrUnreachable, home.Unreachable, "", &oldPair},
		{sim.Impostor, home.Unknown, home.Mismatch, home.ErrUnreachable, home.Mismatch, "", &oldPair},
		{sim.Curt, home.Ours, home.Stale, nil, home.Current, "", &newPair},
		{sim.Busy, home.Ours, home.Stale, nil, home.Current, "", &newPair},
		{sim.Faint, home.Ours, home.Stale, home.ErrUnreachable, home.Blank, home.Current, &newPair},
		{sim.Stubborn, home.Ours, home.Stale, home.ErrRefused, home.Stale, "", &oldPair},
		{sim.Forgetful, home.Ours, home.Stale, nil, home.Blank, home.Blank, nil},
	} {
		t.Run(string(c.defect), func(t *testing.T) {
			s := play(t, nil, sim.Spec{
				Protocol: home.IOT, Kind: home.Plug, Username: email, Password: oldPair.Password, Defects: []sim.Defect{c.defect},
			})[0]
			o := iot.Options{}
			if c.defect == sim.Mute {
				o.Timeout = 200 * time.Millisecond
			}
			d := driver(t, o)
			if f := probe(t, d, seen(s), both); f.Match != c.match || f.Verdict.State != c.state {
				t.Errorf("found %s, %+v; want %s, %s", f.Match, f.Verdict, c.match, c.state)
			}
			if err := d.Rekey(t.Context(), seen(s), move); !errors.Is(err, c.rekey) {
				t.Errorf("rekey: got %v, want %v", err, c.rekey)
			}
			if f := probe(t, d, seen(s), both); f.Verdict.State != c.after {
				t.Errorf("found %+v after the rekey, want %s", f.Verdict, c.after)
			}
			if c.again != "" {
				_ = d.Rekey(t.Context(), seen(s), move)
				if f := probe(t, d, seen(s), both); f.Verdict.State != c.again {
					t.Errorf("found %+v after another rekey, want %s", f.Verdict, c.again)
				}
			}
			if c.holds != nil && !s.Holds(email, c.holds.Password) || c.holds == nil && s.Username() != "" {
				t.Errorf("it is bound to %q, and not with what is wanted", s.Username())
			}
		})
	}
}

// The power may go between the unbind and the bind: what went before the device had no owner is still to be
// kept.
func TestDeviceThatWasLeftUnboundGetsTheOldPasswordWhereItRefusesTheNew(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	s := play(t, nil, sim.Spec{
		Protocol: home.IOT, Kind: home.Plug, Username: email, Password: oldPair.Password, Defects: []sim.Defect{sim.Stubborn},
	})[0]
	s.Hold("", home.Secret{})
	d := driver(t, iot.Options{})
	if err := d.Rekey(t.Context(), seen(s), move); !errors.Is(err, home.ErrRefused) ||
		!strings.Contains(err.Error(), "the old one again") {
		t.Errorf("rekey: %v", err)
	}
	if !s.Holds(email, oldPair.Password) {
		t.Error("it is lost")
	}
}

func TestDeviceThatBoastsIsPendingUntilItIsConnected(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	c := &cloud{password: newPair.Password.Reveal(), down: true}
	s := play(t, c, sim.Spec{
		Protocol: home.IOT, Kind: home.Bulb, Username: email, Password: oldPair.Password, Defects: []sim.Defect{sim.Boastful},
	})[0]
	d := driver(t, iot.Options{})
	if err := d.Rekey(t.Context(), seen(s), move); !errors.Is(err, home.ErrOffline) {
		t.Fatalf("rekey without internet: %v", err)
	}
	expect(t, probe(t, d, seen(s), both), home.Ours, home.Pending, 0)
	c.set(func(c *cloud) { c.down = false })
	for range 500 {
		if s.Holds(email, newPair.Password) {
			break
		}
		time.Sleep(10 * time.Millisecond) // the device's own pause
	}
	expect(t, probe(t, d, seen(s), both), home.Ours, home.Current, 5)
}

func TestCameraOfThisProtocolIsShownAndLeftAlone(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	s := play(t, nil, sim.Spec{Protocol: home.IOT, Kind: home.Camera, Username: email, Password: oldPair.Password})[0]
	d := driver(t, iot.Options{})
	f := probe(t, d, seen(s), both)
	expect(t, f, home.Unknown, home.Unsupported, 0)
	if f.Device.Kind != home.Camera || !strings.HasPrefix(f.Device.Model, "EC60") {
		t.Errorf("identity %+v", f.Device)
	}
	if err := d.Rekey(t.Context(), seen(s), move); !errors.Is(err, home.ErrRefused) {
		t.Errorf("rekey: %v", err)
	}
	if !s.Holds(email, oldPair.Password) {
		t.Error("it was touched")
	}
}
