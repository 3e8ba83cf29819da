package app

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/localstore"
)

// TestNoDeviceIsLockedHoweverOftenTheHubIsRestarted has a hub with nothing but wrong passwords start again and again,
// each time with the same store on disk, and ask and move devices that lock after ten wrong sign-ins, in every way that
// the program knows.
func TestNoDeviceIsLockedHoweverOftenTheHubIsRestarted(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	camera := sim.Spec{
		Kind:     home.Camera,
		Protocol: home.TapoCam,
		Username: "anna@example.org",
		Password: home.NewSecret("an unknown password"),
	}
	old, md5, plug := camera, camera, camera
	old.Defects, md5.Defects = []sim.Defect{sim.Hashed}, []sim.Defect{sim.MD5}
	plug.Kind, plug.Protocol, plug.Locks = home.Plug, home.SmartAES, 10
	newest, newestPlug := camera, plug
	newest.Protocol, newestPlug.Protocol = home.TPAP, home.TPAP
	specs := []sim.Spec{camera, old, md5, plug, newest, newestPlug}
	h, err := sim.New(sim.Options{Log: slog.New(slog.DiscardHandler)}, specs)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { _ = h.Run(ctx) })
	t.Cleanup(func() { stop(); run.Wait() })

	a := home.Account{ID: "a", Email: "anna@example.org", Epoch: 8, NoticeEpoch: 8}
	c := home.Candidates{Account: a, Terms: home.Terms{Bound: true, Cleartext: true}}
	for e := home.Epoch(8); e > 0; e-- {
		c.Credentials = append(
			c.Credentials,
			home.Credential{Epoch: e, Username: a.Email, Password: home.NewSecret(fmt.Sprint("wrong ", e))},
		)
	}
	dir := t.TempDir()
	for life := range 12 {
		store, err := localstore.Open(localstore.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		keys, err := store.HubKeys()
		if err != nil {
			t.Fatal(err)
		}
		hub, err := wire.NewIdentity(wire.RoleHub, []byte(keys.Sign.Reveal()), []byte(keys.Seal.Reveal()))
		if err != nil {
			t.Fatal(err)
		}
		all, err := drivers(hub, store)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range h.Devices() {
			nettest.AwaitOpen(t, d.Addr().String())
			dev := home.Device{
				ID:       d.ID(),
				Protocol: d.Protocol(),
				Addr:     d.Addr(),
				Keys:     []string{strings.Replace(string(d.ID()), "-", ":", 1)},
			}
			for range 5 {
				f, err := all[d.Protocol()].Probe(t.Context(), dev, c)
				if err == nil && (f.Verdict.State == home.Current || f.Verdict.State == home.Stale) {
					t.Errorf("%s: found %s", d.Name(), f.Verdict.State)
				}
				move := home.Move{Account: a, To: c.Credentials[0], Known: c.Credentials, Terms: c.Terms, Try: true}
				if err := all[d.Protocol()].Rekey(t.Context(), dev, move); err == nil {
					t.Errorf("%s: moved", d.Name())
				}
			}
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		for _, d := range h.Devices() {
			if wrong, locks := d.SignIns(); locks != 0 || wrong > 6 {
				t.Fatalf("life %d: %s has had %d wrong sign-ins, and has locked %d times", life, d.Name(), wrong, locks)
			}
		}
	}
	if wrong, _ := h.Devices()[1].SignIns(); wrong == 0 {
		t.Error("the older camera was never asked: nothing was tested")
	}
}
