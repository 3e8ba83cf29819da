package daemon_test

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestTheStatedOwnerDecidesWhereNothingElseDoes(t *testing.T) {
	for _, c := range []struct {
		owner string
		match home.Match
		state home.State
		bind  error
	}{
		{home.OwnerOf("bob@example.org"), home.Foreign, home.ForeignHeld, home.ErrForeign},
		{home.OwnerOf("anna@example.org"), home.Ours, home.Mismatch, nil}, // set up in lower case
		{home.NoOwner, home.Unbound, home.Mismatch, nil},
		{"", home.Unknown, home.Mismatch, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t)
			h.lan.held[front] = &played{dumb: true}
			h.run(func() {
				h.lan.sightings <- []home.Sighting{{
					Source: "tapo-udp", Protocol: home.IOT, Keys: []string{"mac:000000000001"}, Kind: home.Plug, Owner: c.owner,
					At:   time.Now(),
					Addr: netip.MustParseAddrPort("127.9.0.1:9999"),
				}}
				time.Sleep(time.Second)
				r := h.row(front)
				if r.Match != c.match || r.Verdict != c.state || r.Hint == "" {
					t.Errorf("owner %q: shown as %s, %s (%s); want %s, %s", c.owner, r.Match, r.Verdict, r.Hint, c.match, c.state)
				}
				if err := h.engine.Bind([]home.DeviceID{front}); !errors.Is(err, c.bind) {
					t.Errorf("owner %q: bound: %v", c.owner, err)
				}
				h.begin(2)
				time.Sleep(time.Hour)
				if h.lan.now(front).moves != 0 {
					t.Errorf("owner %q: it was given a password though it proved nothing", c.owner)
				}
			})
		})
	}
}
