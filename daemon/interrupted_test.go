package daemon_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

func TestANewerEpochOvertakesAMoveUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p := &played{match: home.Ours, holds: 1}
		h.lan.held[front] = p
		h.lan.delay = 5 * time.Second
		h.run(func() {
			h.take(front)
			time.Sleep(10 * time.Second)
			h.begin(2)
			time.Sleep(time.Second) // the move to 2 is under way
			h.begin(3)
			time.Sleep(time.Minute)
			if p := h.lan.now(front); p.holds != 3 || p.most != 1 || p.bare != 0 {
				t.Errorf("holds epoch %d; at most %d jobs at once; %d moves without an intent", p.holds, p.most, p.bare)
			}
			b, err := h.store.Binding(front)
			must(t, err)
			if b.DeviceEpoch != 3 || b.Verdict.State != home.Current {
				t.Errorf("recorded as %v at %d", b.Verdict.State, b.DeviceEpoch)
			}
		})
	})
}

func TestARestartGoesOnFromTheIntent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p := &played{match: home.Ours, holds: 1}
		h.lan.held[front] = p
		h.run(func() {
			h.take(front)
			time.Sleep(time.Second)
		})
		// The daemon died after the device was moved and before that was written down.
		c := home.Credential{Epoch: 2, Username: "Anna@example.org", Password: home.NewSecret("pw2")}
		_, err := h.store.BeginEpoch(acct, c, []byte{2}, []byte("{}"))
		must(t, err)
		_, err = h.store.Intend(front, 1, 2, time.Now())
		must(t, err)
		p.holds, p.moves = 2, 0

		h.replace(func(*daemon.Options) {})
		h.run(func() { time.Sleep(time.Minute) }) // it is not even seen: its address is on disk
		if p.moves != 0 {
			t.Errorf("moved %d times more", p.moves)
		}
		if b, _ := h.store.Binding(front); b.Verdict.State != home.Current || b.DeviceEpoch != 2 {
			t.Errorf("recorded as %v at %d", b.Verdict.State, b.DeviceEpoch)
		}
		if is, _ := h.store.Intents(); len(is) != 0 {
			t.Errorf("intents left: %v", is)
		}
	})
}

// eager is a ledger with a link that is faster than the engine: while the engine still waits for the answer of a
// method, what follows from it is already signed in, recorded, and reported.
type eager struct {
	*localstore.Store
	engine atomic.Pointer[daemon.Rekeyer]
}

func (l *eager) signIn() {
	bs, _ := l.Store.Bindings()
	for _, b := range bs {
		if b.DeviceEpoch > b.CloudEpoch && l.engine.Load() != nil {
			_ = l.Store.SignedIn(acct, b.DeviceEpoch, []home.DeviceID{b.Device})
			l.engine.Load().SignedIn([]home.DeviceID{b.Device})
		}
	}
}

func (l *eager) Observe(id home.DeviceID, v home.Verdict, rank home.ProofRank, at time.Time) (home.Binding, error) {
	b, err := l.Store.Observe(id, v, rank, at)
	l.signIn()
	return b, err
}

func TestWhatIsRecordedMeanwhileIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		ledger := &eager{Store: h.store}
		h.replace(func(o *daemon.Options) { o.Ledger = ledger })
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			h.take(front)
			ledger.engine.Store(h.engine)
			for e := home.Epoch(2); e < 5; e++ {
				h.begin(e)
				time.Sleep(time.Second)
				h.engine.AccountChanged()
				if r := h.row(front); r.Verdict != home.Current || r.Epoch != e {
					t.Errorf("shown as %v at %d, and is current at %d", r.Verdict, r.Epoch, e)
				}
			}
		})
	})
}
