package daemon_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// lockable is a network whose devices report a lock-out instead of their credential until a time.
type lockable struct {
	*lan
	until time.Time // zero for no lock-out
	asked int       // probes
}

func (l *lockable) Probe(ctx context.Context, d home.Device, c home.Candidates) (home.Finding, error) {
	l.mu.Lock()
	until := l.until
	l.asked++
	l.mu.Unlock()
	if until.After(time.Now()) {
		return home.Finding{Match: home.Unknown, Device: d, Verdict: home.Verdict{State: home.LockedOut, Until: until}}, nil
	}
	return l.lan.Probe(ctx, d, c)
}

func (l *lockable) probes() int { l.mu.Lock(); defer l.mu.Unlock(); return l.asked }

func (l *lockable) lock(until time.Time) { l.mu.Lock(); defer l.mu.Unlock(); l.until = until }

// newLockable returns a house with a bound device at an older epoch, on a lockable network.
func newLockable(t *testing.T) (*house, *lockable) {
	h := newHouse(t)
	l := &lockable{lan: h.lan}
	l.held[front] = &played{match: home.Ours, holds: 1}
	h.drive(map[home.Protocol]daemon.Driver{home.IOT: l})
	return h, l
}

// Anyone who answers at a device's address can claim a lock-out. A claim that is not repeated costs minutes.
func TestAForgedLockOutCostsMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := newLockable(t)
		h.run(func() {
			h.take(front)
			time.Sleep(time.Second)
			l.lock(time.Now().Add(24 * time.Hour))
			must(t, h.engine.Rekey([]home.DeviceID{front}, false))
			time.Sleep(time.Second)
			l.lock(time.Time{})
			h.begin(2)
		})
		h.drive(map[home.Protocol]daemon.Driver{home.IOT: l}) // nor does a restart make it longer
		h.run(func() {
			time.Sleep(home.GreetTime + time.Minute)
			if p := h.lan.now(front); p.holds != 2 {
				t.Fatalf("six minutes after the claim it holds epoch %d", p.holds)
			}
			must(t, h.store.Spend(front)) // nor is a sign-in refused any more
		})
	})
}

func TestALockOutIsBelievedForHalfAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := newLockable(t)
		h.run(func() {
			h.take(front)
			time.Sleep(time.Second)
			began := time.Now()
			l.lock(began.Add(24 * time.Hour)) // anyone who answers at its address can claim it
			must(t, h.engine.Rekey([]home.DeviceID{front}, false))
			time.Sleep(time.Second)
			b, err := h.store.Binding(front)
			must(t, err)
			if b.Verdict.State != home.LockedOut || b.Verdict.Until.Sub(began) > home.LockTime+time.Second {
				t.Fatalf("recorded as %s until %v", b.Verdict.State, b.Verdict.Until.Sub(began))
			}
			if err := h.store.Spend(front); err == nil {
				t.Fatal("a sign-in is sent to a device that is believed to be locked")
			}
			before := l.probes()
			time.Sleep(time.Hour)
			if n := l.probes() - before; n < 10 || n > 20 {
				t.Errorf("asked %d times in an hour whether it is still locked", n)
			}
		})
	})
}

func TestAnOrderToRekeyEndsALockOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := newLockable(t)
		h.run(func() {
			h.take(front)
			l.lock(time.Now().Add(20 * time.Minute))
			must(t, h.engine.Rekey([]home.DeviceID{front}, false))
			time.Sleep(time.Second)
			h.begin(2)
			l.lock(time.Time{})
			must(t, h.engine.Rekey([]home.DeviceID{front}, false))
			time.Sleep(10 * time.Second)
			if p := h.lan.now(front); p.holds != 2 {
				t.Fatalf("ten seconds after the order it holds epoch %d", p.holds)
			}
			must(t, h.store.Spend(front)) // nor is a sign-in refused any more
		})
	})
}

func TestAnUnboundDeviceThatClaimsALockOutIsProbedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := newLockable(t)
		l.lock(time.Now().Add(24 * time.Hour))
		h.run(func() {
			h.see(front)
			time.Sleep(time.Second)
			if r := h.row(front); r.Verdict != home.LockedOut {
				t.Fatalf("shown as %s", r.Verdict)
			}
			before := l.probes()
			time.Sleep(31 * time.Minute)
			if n := l.probes() - before; n < 5 {
				t.Fatalf("probed %d times in half an hour", n)
			}
		})
	})
}
