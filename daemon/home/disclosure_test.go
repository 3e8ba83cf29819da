package home_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// The whole space of conditions and evidence: what is not in one of the four sentences below is refused.
func TestWhoMayReceiveAPassword(t *testing.T) {
	states := append(home.States(), "")
	both := []bool{false, true}
	permitted := 0
	for _, bound := range both {
		for _, fresh := range both {
			for _, cleartext := range both {
				for least := home.ProofRank(0); least <= home.ProvesFirst; least++ {
					for rank := home.ProofRank(0); rank <= home.ProvesFirst; rank++ {
						for _, held := range states {
							terms := home.Terms{Bound: bound, Least: least, Fresh: fresh, Cleartext: cleartext}
							err := terms.Permit(home.Evidence{Rank: rank, Held: held})
							ours := held == home.Current || held == home.Stale || held == home.WrongCase
							factory := held == home.Default || held == home.Blank
							proved := rank == home.ProvesFirst && (ours || factory && fresh)
							allowed := (rank == home.ToldFirst || rank == home.HashFirst) && cleartext && (fresh || !factory)
							if want := bound && rank >= least && (proved || allowed); (err == nil) != want {
								t.Errorf("%+v, %s with %q: %v, want permission %t", terms, rank, held, err, want)
							}
							if err == nil {
								permitted++
							}
						}
					}
				}
			}
		}
	}
	// Proved: 4 ranks on record, 2 consents to cleartext, 3 states; 5 with the factory-fresh consent: 24+40.
	// Cleartext: 19 verdicts, 17 without the factory-fresh consent; 2 ranks on record for told first, 3 for hash first.
	if permitted != 64+36*5 {
		t.Errorf("%d of the cases are permitted, want 244", permitted)
	}
}

func TestARefusalNamesTheConsentThatIsMissing(t *testing.T) {
	bound := home.Terms{Bound: true}
	for _, c := range []struct {
		terms home.Terms
		e     home.Evidence
		want  error
	}{
		{home.Terms{}, home.Evidence{}, home.ErrUnproved},
		{home.Terms{}, home.Evidence{Rank: home.ProvesFirst, Held: home.Stale}, home.ErrNotBound},
		{home.Terms{}, home.Evidence{Rank: home.ToldFirst}, home.ErrCleartext},
		{home.Terms{Cleartext: true}, home.Evidence{Rank: home.HashFirst}, home.ErrCleartext},
		{bound, home.Evidence{Rank: home.ToldFirst}, home.ErrCleartext},
		{
			home.Terms{Bound: true, Least: home.ProvesFirst, Cleartext: true},
			home.Evidence{Rank: home.HashFirst},
			home.ErrWeaker,
		},
		{bound, home.Evidence{Rank: home.ProvesFirst, Held: home.Default}, home.ErrWasReset},
		{bound, home.Evidence{Rank: home.ProvesFirst, Held: home.Blank}, home.ErrWasReset},
		{bound, home.Evidence{Rank: home.ProvesFirst}, home.ErrUnproved},
	} {
		if err := c.terms.Permit(c.e); !errors.Is(err, c.want) {
			t.Errorf("%+v, %+v: %v, want %v", c.terms, c.e, err, c.want)
		}
	}
}

func TestConsentsAreForOneDeviceAtOneAddressAndEnd(t *testing.T) {
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	at := netip.MustParseAddrPort("192.0.2.7:9999")
	d := home.Device{ID: "mac-1", Protocol: home.IOT, Addr: at}
	b := home.Binding{Device: "mac-1", ProofRank: home.HashFirst, Consents: home.Consents{
		FreshUntil: now.Add(home.FreshTime),
		Cleartext:  home.CleartextConsent{Protocol: home.IOT, Addr: at.Addr()},
	}}
	all := home.Terms{Bound: true, Least: home.HashFirst, Fresh: true, Cleartext: true}
	if got := b.Terms(home.Account{}, d, now); got != all {
		t.Errorf("%+v, want %+v", got, all)
	}
	if got := b.Terms(home.Account{}, d, now.Add(home.FreshTime)); got.Fresh || !got.Cleartext {
		t.Errorf("a day later: %+v", got)
	}
	if b.Terms(home.Account{}, d, now.Add(-time.Second)).Fresh {
		t.Error("a consent that was given by a clock ahead of this one is in force")
	}
	for name, change := range map[string]func(*home.Device){
		"another address":   func(d *home.Device) { d.Addr = netip.MustParseAddrPort("192.0.2.8:9999") },
		"another protocol":  func(d *home.Device) { d.Protocol = home.SmartAES },
		"no known address":  func(d *home.Device) { d.Addr = netip.AddrPort{} },
		"another device ID": func(d *home.Device) { d.ID = "mac-2" },
	} {
		other := d
		change(&other)
		if got := b.Terms(home.Account{}, other, now); got.Bound && got.Cleartext {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := (home.Binding{}).Terms(home.Account{}, home.Device{}, now); got != (home.Terms{}) {
		t.Errorf("without a binding: %+v", got)
	}
}

func TestADeviceThatLostItsCredentialWasReset(t *testing.T) {
	for _, c := range []struct {
		held        home.Epoch
		fresh       bool
		found, want home.State
	}{
		{4, false, home.Default, home.WasReset},
		{4, false, home.Blank, home.WasReset},
		{4, true, home.Default, home.Default},
		{0, false, home.Default, home.Default},
		{0, false, home.Blank, home.Blank},
		{4, false, home.Stale, home.Stale},
	} {
		b := home.Binding{DeviceEpoch: c.held}
		if got := b.Reset(home.Verdict{State: c.found}, home.Terms{Fresh: c.fresh}).State; got != c.want {
			t.Errorf("%s, epoch %d, consent %t: %s, want %s", c.found, c.held, c.fresh, got, c.want)
		}
	}
}

func TestOnlyANativeDeviceIsKnownByItsKeyAlone(t *testing.T) {
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	for protocol, want := range map[home.Protocol]bool{home.Native: true, home.KLAP2: false, home.TapoCam: false} {
		b := home.Binding{Device: "rk-abc"}
		if got := b.Terms(home.Account{}, home.Device{ID: "rk-abc", Protocol: protocol}, now).Fresh; got != want {
			t.Errorf("%s: %t", protocol, got)
		}
	}
}

func TestACredentialThatSomebodyElseMayKnowIsNoProof(t *testing.T) {
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	account := home.Account{Epoch: 6, Exposed: 5}
	for _, c := range []struct {
		protocol home.Protocol
		verdict  home.Verdict
		allowed  home.Epoch // Consents.Exposed
		held     bool
	}{
		{home.KLAP2, home.Verdict{State: home.Stale, Epoch: 4}, 0, true},
		{home.KLAP2, home.Verdict{State: home.WrongCase, Epoch: 4}, 0, true},
		// a password that the owner remembered: its epoch is not known
		{home.KLAP2, home.Verdict{State: home.Stale}, 0, true},
		{home.KLAP2, home.Verdict{State: home.Stale, Epoch: 4}, 3, true},
		{home.KLAP2, home.Verdict{State: home.Stale, Epoch: 4}, 5, false},
		{home.KLAP2, home.Verdict{State: home.Stale, Epoch: 5}, 0, false},
		{home.KLAP2, home.Verdict{State: home.Current, Epoch: 6}, 0, false},
		{home.TapoCam, home.Verdict{State: home.Stale, Epoch: 4}, 0, true},
		{home.TPAP, home.Verdict{State: home.Stale, Epoch: 4}, 0, true},
		{home.Native, home.Verdict{State: home.Stale, Epoch: 4}, 0, false}, // it proves by its own key
		{home.IOT, home.Verdict{State: home.Stale, Epoch: 4}, 0, false},    // the cleartext consent decides
	} {
		b := home.Binding{Device: "mac-1", Verdict: c.verdict, Consents: home.Consents{Exposed: c.allowed}}
		if got := b.Held(account, home.Device{ID: "mac-1", Protocol: c.protocol}, now); got != c.held {
			t.Errorf("%s, %+v, allowed at %d: held %t", c.protocol, c.verdict, c.allowed, got)
		}
	}
}
