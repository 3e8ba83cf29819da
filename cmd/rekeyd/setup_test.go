//go:build linux

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// TestSetupLeadsFromANewDaemonToABoundHouse answers the questions of setup without a TP-Link account, and without mail.
func TestSetupLeadsFromANewDaemonToABoundHouse(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	const password = "first-Horse-Battery"
	r := newRigOf(t, []sim.Spec{{
		Kind: home.Plug, Protocol: home.KLAP2, Name: "lamp", Username: rigEmail, Password: home.NewSecret(password),
	}})
	r.start()
	r.await("daemon", time.Minute, answers)
	r.await("device", time.Minute, func(s daemon.Status) bool { return len(s.Devices) == 1 })
	x := newTerminal(t)
	cmd := x.start("--state", r.state, "setup")
	x.shows("Do you have a TP-Link account, the one of the Kasa and Tapo apps? [y/N]: ")
	x.types("n\n")
	x.shows("E-mail address of your account: ")
	x.types(rigEmail + "\n")
	x.asked("12 to 32 letters, digits and signs, no spaces): ")
	x.types(password + "\n")
	x.asked(", again: ")
	x.types(password + "\n")
	code, shown := x.ended(cmd)
	for _, want := range []string{
		"This hub is signed in.", "1 device was found", "$ rekeyd bind --all", "1 device bound", "rekeyd status",
		"choose a password for it there:", "/signin#t=",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is missing in:\n%s", want, shown)
		}
	}
	if code != exitOK {
		t.Errorf("it ended with %d", code)
	}
	r.await("house bound", time.Minute, allCurrent(1, 1))

	again := newTerminal(t)
	if code, shown := again.ended(again.start("--state", r.state, "setup")); code != exitOK ||
		!strings.Contains(shown, "This hub is signed in as "+rigEmail) {
		t.Errorf("the second time: %d\n%s", code, shown)
	}
}
