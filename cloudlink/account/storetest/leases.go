package storetest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// release ends the lease of a hub.
func (r *rig) release(hub string) {
	r.Helper()
	_, err := r.s.RenewLease(r.message(hub), true)
	r.must(err)
}

// inFakeTime runs a test with a store of its own, in a bubble.
func (r *rig) inFakeTime(test func(*rig)) {
	synctest.Test(r.T, func(t *testing.T) {
		in := &rig{T: t, o: r.o, s: r.o.Open(t)}
		var err error
		in.id, err = in.s.Identity()
		in.must(err)
		test(in)
	})
}

// A device has one holder. Another hub gets it after the holder's lease has ended, or was given back. A message that
// comes again renews nothing. After a restart each hub has the time of a lease to renew its own.
func aDeviceChangesHandsAfterALeaseOnly(r *rig) {
	r.inFakeTime(func(r *rig) {
		a := r.account("anna")
		first, second := r.hub(a), r.hub(a)
		seq := uint64(1000)
		renew := func(hub string, release bool) account.Position {
			r.Helper()
			seq++
			p := account.Position{Member: hub, Seq: seq}
			_, err := r.s.RenewLease(p, release)
			r.must(err)
			return p
		}
		tries := func(hub, holder string) {
			r.Helper()
			seq++
			refused, err := r.s.Bind(account.Position{Member: hub, Seq: seq}, []account.Device{plug("p")}, 10)
			r.must(err)
			d, err := r.s.Device("anna", "p")
			r.must(err)
			r.equal("holder", d.Holder, holder)
			if holder != hub {
				r.equal("refused", refused, []wire.Outcome{{ID: "p", Code: wire.CodeHeld}})
			}
		}
		tries(first, first)
		tries(second, first) // the first hub has never renewed a lease: its time begins now
		time.Sleep(wire.LeaseLife - time.Second)
		tries(second, first)
		old := renew(first, false)
		last := renew(first, false)
		time.Sleep(wire.LeaseLife - time.Second)
		tries(second, first)
		_, err := r.s.RenewLease(last, false) // the same message again
		r.must(err)
		_, err = r.s.RenewLease(old, false)
		r.fails(err, account.ErrReplayed)
		time.Sleep(time.Second)
		tries(second, second)
		hubs, err := r.s.RenewLease(account.Position{Member: second, Seq: seq + 1}, false)
		r.must(err)
		r.equal("hubs", len(hubs), 2)
		for _, h := range hubs {
			r.equal("live", h.Live, h.Name == second)
			r.equal("label", h.Label, "hall")
		}
		renew(first, false)
		tries(first, second) // back, and the device is not its own any more
		renew(second, true)
		tries(first, first)
		time.Sleep(2 * wire.LeaseLife)
		r.s = r.o.Reopen(r.T, r.s)
		tries(second, first)
		time.Sleep(wire.LeaseLife)
		tries(second, second)
		r.must(r.s.RemoveHub("anna", first, account.Event{}))
		_, err = r.s.RenewLease(account.Position{Member: first, Seq: seq + 1}, false)
		r.fails(err, home.ErrNotFound)
	})
}
