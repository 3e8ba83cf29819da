package iot_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/iot"
	"github.com/rekeyd/rekeyd/devices/sim"
)

func TestBusyDeviceIsAskedAgainAFewTimes(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	c, devices := house(t)
	slow := make(chan struct{})
	c.set(func(c *cloud) { c.slow = slow })
	s, d := devices[0], driver(t, iot.Options{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s.Hold("", home.Secret{})
	first := make(chan error, 1)
	go func() { first <- d.Rekey(ctx, seen(s), move) }()
	for {
		err := driver(t, iot.Options{BusyPause: 1, BindTimeout: 100 * time.Millisecond}).Rekey(t.Context(), seen(s), move)
		if errors.Is(err, home.ErrBusy) {
			break
		}
		if !errors.Is(err, home.ErrUnreachable) {
			t.Fatalf("second command: %v", err)
		}
	}
	close(slow)
	if err := <-first; err != nil && !errors.Is(err, home.ErrBusy) {
		t.Errorf("first command: %v", err)
	}
}

func TestWrongIdentityIsNeverTouched(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	_, devices := house(t)
	s, d := devices[0], driver(t, iot.Options{})
	right := seen(s)
	full := probe(t, d, right, both).Device
	for what, change := range map[string]func(*home.Device){
		"another's address":  func(v *home.Device) { v.Addr = devices[1].Addr() },
		"another device id":  func(v *home.Device) { v.Keys = []string{right.Keys[0], "iot:" + strings.Repeat("A", 40)} },
		"nothing to compare": func(v *home.Device) { v.ID, v.Keys = "mdns-1", []string{"mdns:plug"} },
		"another name":       func(v *home.Device) { v.ID = "mac-50c7bf999999" },
	} {
		wrong := full
		wrong.ID = right.ID
		change(&wrong)
		if what == "another name" {
			wrong.Keys = nil
		}
		expect(t, probe(t, d, wrong, both), home.Unknown, home.Mismatch, 0)
		if err := d.Rekey(t.Context(), wrong, move); !errors.Is(err, home.ErrUnreachable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, s := range devices {
		if !s.Holds(email, oldPair.Password) {
			t.Errorf("%s was touched", s.Name())
		}
	}
}

func TestPasswordsAreNotSentWhereThatIsRefusedOrNoneIsKnown(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	_, devices := house(t)
	unknown := move
	unknown.To.Password = home.Secret{}
	err := driver(t, iot.Options{}).Rekey(t.Context(), seen(devices[0]), unknown)
	if !strings.Contains(home.HintOf(err), "rekeyd login") {
		t.Errorf("no password: %v, hint %q", err, home.HintOf(err))
	}
	forbidden := move
	forbidden.Terms.Cleartext = false
	if err := driver(t, iot.Options{}).Rekey(t.Context(), seen(devices[0]), forbidden); home.HintOf(err) == "" ||
		!errors.Is(err, home.ErrRefused) {
		t.Errorf("no clear text: %v", err)
	}
	if !devices[0].Holds(email, oldPair.Password) {
		t.Error("it was touched")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	if _, err := iot.New(iot.Options{Timeout: -1}); err == nil {
		t.Error("a negative time is taken")
	}
}

// A device that could not reach its cloud is left alone for a while with what it was given, but not when that is out of
// date.
func TestANewerPasswordDoesNotWaitForAnOlderOne(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	c, devices := house(t)
	s, d := devices[0], driver(t, iot.Options{})
	c.set(func(c *cloud) { c.down = true })
	if err := d.Rekey(t.Context(), seen(s), move); !errors.Is(err, home.ErrOffline) {
		t.Fatalf("rekey without internet: %v", err)
	}
	newest := home.Credential{Epoch: 6, Username: email, Password: home.NewSecret("newest-password")}
	later := both
	later.Account.Epoch = 6
	later.Credentials = append([]home.Credential{newest}, both.Credentials...)
	expect(t, probe(t, d, seen(s), later), home.Unbound, home.Blank, 0)
	m := home.Move{Account: later.Account, To: newest, Known: later.Credentials, Terms: both.Terms}
	if err := d.Rekey(t.Context(), seen(s), m); !errors.Is(err, home.ErrOffline) {
		t.Fatalf("rekey to the newest: %v", err)
	}
	expect(t, probe(t, d, seen(s), later), home.Ours, home.Pending, 0)
}

// A password that the owner remembers has no epoch. A device that holds it, and refuses the new one, is given it back
// all the same.
func TestARememberedPasswordIsGivenBackOverKLAP(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	s := play(t, nil, klapSpec(home.IOTKLAP2, capital, "long-ago", sim.Stubborn))[0]
	d := klapDriver(t)
	dev := seen(s)
	remembered := vault
	remembered.Credentials = append(
		slices.Clone(vault.Credentials), home.Credential{Username: capital, Password: home.NewSecret("long-ago")},
	)
	if f, err := d.Probe(t.Context(), dev, remembered); err != nil || f.Verdict.State != home.Stale ||
		f.Verdict.Epoch != 0 {
		t.Fatalf("%+v, %v", f, err)
	}
	err := d.Rekey(
		t.Context(), dev, home.Move{Account: annie, To: newOne, Known: remembered.Credentials, Terms: vault.Terms},
	)
	if !errors.Is(err, home.ErrRefused) || s.Username() != capital || s.Password().Reveal() != "long-ago" {
		t.Errorf("%v; it holds %q", err, s.Username())
	}
}
