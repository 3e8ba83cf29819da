package cloudlink_test

import (
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// A hub that was restored from a backup has an older sealing key than the account service uses. It cannot announce
// another one, and must not ask again and again without a pause.
func TestAHubWithAnOlderSealingKeyDoesNotFloodTheService(t *testing.T) {
	t.Parallel()
	s := play(t, func(o *cloudlink.Options) { o.AskEvery, o.Patience = time.Hour, 50*time.Millisecond })
	s.mu.Lock()
	s.newest = 1            // an epoch whose grant the hub does not have
	s.seal = wire.NewSeed() // a key that the hub does not have
	s.mu.Unlock()
	must(t, s.store.Queue([]home.Errand{{Kind: home.ErrandAck, Epoch: 1, At: time.Now().UTC()}}))
	s.link.Ask()
	hellos := 0
	for end := time.After(3 * time.Second); ; {
		select {
		case <-s.asked:
			if hellos++; hellos > 20 {
				t.Fatal("more than 20 hellos within 3 s")
			}
		case <-end:
			if hellos == 0 {
				t.Fatal("the hub asked nothing")
			}
			return
		}
	}
}
