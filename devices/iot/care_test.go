package iot_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/iot"
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
	forbidden.Account.CleartextBind = false
	if err := driver(t, iot.Options{}).Rekey(t.Context(), seen(devices[0]), forbidden); home.HintOf(err) == "" || !errors.Is(err, home.ErrRefused) {
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
