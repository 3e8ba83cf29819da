package app

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// TestTheServiceForgetsAHubThatWasReplacedOrHasLeft: a restored hub signs in with a word from the account's page. The
// account service in the same process then lists the new hub alone, and none after that has left.
func TestTheServiceForgetsAHubThatWasReplacedOrHasLeft(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHouse(t, dir, 1)
		defer h.close()
		old := h.hub.identity.Name
		h.stopHub()
		store, err := localstore.Open(localstore.Options{Dir: h.state("hub"), Log: slog.New(slog.DiscardHandler)})
		h.must(err)
		h.must(store.Renew(old))
		h.must(store.Close())
		h.startHub()
		token, err := h.signIn(h.known)
		h.must(err)
		var word struct{ Pairing string }
		h.must(h.call(token, "createPairing", struct{}{}, &word))
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
		defer stop()
		h.must(h.hub.Login(ctx, daemon.Login{Pairing: home.NewSecret(word.Pairing)}))
		var listed struct{ Hubs []struct{ Hub string } }
		h.must(h.call(token, "listHubs", struct{}{}, &listed))
		if len(listed.Hubs) != 1 || listed.Hubs[0].Hub != h.hub.identity.Name {
			t.Errorf("the account lists %+v, want %s alone; the old one is %s", listed, h.hub.identity.Name, old)
		}
		if left, err := h.hub.store.Replaced(); left != "" || err != nil {
			t.Errorf("still to be removed: %q, %v", left, err)
		}
		a, err := h.hub.store.Account()
		h.must(err)
		h.hub.removeHere(a) // as when the hub leaves
		listed.Hubs = nil
		h.must(h.call(token, "listHubs", struct{}{}, &listed))
		if len(listed.Hubs) != 0 {
			t.Errorf("a hub that has left is listed: %+v", listed)
		}
	})
}
