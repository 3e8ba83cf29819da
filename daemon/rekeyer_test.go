package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices"
	"github.com/rekeyd/rekeyd/localstore"
)

// house is a real store and roster, with devices that are played.
type house struct {
	t      *testing.T
	store  *localstore.Store
	engine *daemon.Rekeyer
	lan    *lan
	woken  func() int

	recheck time.Duration // the engine's own when zero
}

const acct home.AccountID = "acc-1"

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, lan: &lan{sightings: make(chan []home.Sighting, 16), held: map[home.DeviceID]*played{}}}
	h.open(scratch(t))
	h.lan.store = h.store
	a := home.Account{
		ID:          acct,
		Email:       "Anna@example.org",
		Notice:      []byte("h0"),
		NoticeEpoch: 1,
		Brokers:     []string{"mqtt://127.0.0.1:1"},
	}
	must(t, h.store.Enrol(a, home.Credential{}))
	h.begin(1)
	return h
}

// scratch returns a directory for a store, in memory where the system has such a place: the tests here write often, and
// lose nothing in a crash.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "rekeyd-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (h *house) open(dir string) {
	h.t.Helper()
	store, err := localstore.Open(localstore.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	must(h.t, err)
	h.t.Cleanup(func() { _ = store.Close() })
	h.store = store
	h.drive(map[home.Protocol]daemon.Driver{home.IOT: h.lan, home.TPAP: h.lan, home.KLAP2: h.lan})
}

// drive replaces the engine by one with these drivers.
func (h *house) drive(drivers map[home.Protocol]daemon.Driver) {
	h.t.Helper()
	var mu sync.Mutex
	n := 0
	h.woken = func() int { mu.Lock(); defer mu.Unlock(); return n }
	var err error
	h.engine, err = daemon.New(daemon.Options{
		Ledger: h.store, Roster: devices.NewRoster(), Discovery: h.lan, Log: slog.New(slog.DiscardHandler),
		Drivers: drivers, Wake: func() { mu.Lock(); n++; mu.Unlock() }, Recheck: h.recheck,
	})
	must(h.t, err)
}

// begin begins an epoch as the link does: on disk first, then the engine is told.
func (h *house) begin(e home.Epoch) {
	h.t.Helper()
	c := home.Credential{
		Epoch:       e,
		Username:    "Anna@example.org",
		Password:    home.NewSecret("pw" + string(rune('0'+e))),
		EpochSecret: home.NewSecret("s" + string(rune('0'+e))),
	}
	_, err := h.store.BeginEpoch(acct, c, []byte{byte(e)}, []byte("{}"))
	must(h.t, err)
	h.engine.AccountChanged()
}

// bind binds devices, and allows passwords in the clear: the devices here are of that kind.
func (h *house) bind(ids ...home.DeviceID) {
	h.t.Helper()
	must(h.t, h.engine.Bind(ids))
	must(h.t, h.engine.AllowCleartext(ids))
}

func (h *house) see(ids ...home.DeviceID) {
	var ss []home.Sighting
	for i, id := range ids {
		ss = append(ss, home.Sighting{
			Source: "iot-udp", Protocol: home.IOT, Keys: []string{"mac:" + string(id)[4:]}, Name: string(id), Kind: home.Plug,
			Addr: netip.AddrPortFrom(
				netip.AddrFrom4([4]byte{127, 9, 0, byte(i + 1)}),
				9999,
			), Match: home.Unknown, At: time.Now(),
		})
	}
	h.lan.sightings <- ss
}

func (h *house) row(id home.DeviceID) daemon.Row {
	h.t.Helper()
	_, rows, _ := h.engine.House()
	i := slices.IndexFunc(rows, func(r daemon.Row) bool { return r.ID == id })
	if i < 0 {
		h.t.Fatalf("%s is not in the house: %v", id, rows)
	}
	return rows[i]
}

// run runs the engine inside a bubble of fake time while do happens.
func (h *house) run(do func()) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.engine.Run(ctx) }()
	defer func() { // also when do ends the test
		stop()
		if err := <-ended; err != nil {
			h.t.Error(err)
		}
	}()
	do()
}

// lan is a network of played devices: discovery and driver in one.
type lan struct {
	store     *localstore.Store
	sightings chan []home.Sighting

	mu    sync.Mutex // guards held
	held  map[home.DeviceID]*played
	delay time.Duration
}

// played is what one device holds, and how it behaves.
type played struct {
	match   home.Match
	holds   home.Epoch
	off     bool
	refuses bool  // says no, and means it
	lies    bool  // says ok, and changes nothing
	answer  error // what Rekey returns in the end, whatever happened
	dumb    bool  // holds none of the credentials, and does not say whose it is
	boots   int   // restarts
	inside  int   // calls at this moment
	most    int
	moves   int
	bare    int // moves without an intent on disk
	tries   int // moves that were ordered as a try
	bound   bool
	probes  int

	at netip.AddrPort // the one address at which it speaks its protocol; any when invalid

	waits, waitsAfter time.Time // until when its sign-ins are used up; and from the next move on
}

func (l *lan) Run(ctx context.Context, see func([]home.Sighting)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-l.sightings:
			see(s)
		}
	}
}

func (l *lan) enter(id home.DeviceID) *played {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.held[id]
	p.inside++
	p.most = max(p.most, p.inside)
	return p
}

// now returns a device as it is at this moment.
func (l *lan) now(id home.DeviceID) played {
	l.mu.Lock()
	defer l.mu.Unlock()
	return *l.held[id]
}

// set changes a device.
func (l *lan) set(id home.DeviceID, change func(*played)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l.held[id])
}

func (l *lan) leave(p *played) { l.mu.Lock(); p.inside--; l.mu.Unlock() }

func (l *lan) Probe(_ context.Context, d home.Device, c home.Candidates) (home.Finding, error) {
	p := l.enter(d.ID)
	defer l.leave(p)
	time.Sleep(time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	p.probes++
	p.bound = c.Terms.Bound
	f := home.Finding{Match: p.match, Device: d}
	if !p.waits.IsZero() {
		return f, fmt.Errorf("probe: %w", home.WaitError{Until: p.waits, Reason: "it was sent 3 sign-ins in an hour"})
	}
	switch {
	case p.off, p.at.IsValid() && p.at != d.Addr:
		f.Verdict.State = home.Unreachable
	case p.dumb:
		f.Match, f.Verdict.State = home.Unknown, home.Mismatch
	case p.match == home.Foreign:
		f.Verdict.State = home.ForeignHeld
	case p.match == home.Unbound:
		f.Verdict.State = home.Blank
	default:
		f.Verdict = home.Verdict{State: home.Stale, Epoch: p.holds}.Against(c.Account.Epoch)
	}
	return f, nil
}

func (l *lan) Rekey(_ context.Context, d home.Device, m home.Move) error {
	p := l.enter(d.ID)
	defer l.leave(p)
	intents, err := l.store.Intents()
	written := err == nil &&
		slices.ContainsFunc(intents, func(i home.Intent) bool { return i.Device == d.ID && i.To == m.To.Epoch })
	time.Sleep(l.delay + time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.at.IsValid() && p.at != d.Addr {
		return home.ErrUnreachable
	}
	p.moves++
	p.waits = p.waitsAfter
	if m.Try {
		p.tries++
	}
	if !written {
		p.bare++
	}
	if p.refuses {
		return home.ErrRefused
	}
	if !p.lies {
		p.holds, p.match = m.To.Epoch, home.Ours
	}
	return p.answer
}

func (l *lan) Restart(_ context.Context, d home.Device, _ home.Candidates) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[d.ID].boots++
	return nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const (
	front home.DeviceID = "mac-000000000001"
	back  home.DeviceID = "mac-000000000002"
)

func TestEveryDeviceFollowsANewEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.lan.held[back] = &played{match: home.Unbound}
		h.run(func() {
			h.see(front, back)
			time.Sleep(time.Second)
			h.bind(front, back)
			time.Sleep(time.Second)
			h.begin(2)
			time.Sleep(10 * time.Second)
			for id := range h.lan.held {
				p := h.lan.now(id)
				if p.holds != 2 || p.bare != 0 {
					t.Errorf("%s holds epoch %d; moved %d times, %d without an intent on disk", id, p.holds, p.moves, p.bare)
				}
				b, err := h.store.Binding(id)
				must(t, err)
				if b.DeviceEpoch != 2 || b.Verdict.State != home.Current {
					t.Errorf("%s is recorded as %v at epoch %d", id, b.Verdict.State, b.DeviceEpoch)
				}
				if r := h.row(id); r.Verdict != home.Stale || r.Epoch != 0 {
					t.Errorf("%s is shown as %v at %d before the account signed it in", id, r.Verdict, r.Epoch)
				}
			}
			if is, _ := h.store.Intents(); len(is) != 0 {
				t.Errorf("intents left: %v", is)
			}
			es, _ := h.store.Errands(10)
			if n := len(slices.DeleteFunc(es, func(e home.Errand) bool {
				return e.Kind != home.ErrandSignIn ||
					e.Epoch != 2
			})); n != 2 {
				t.Errorf("%d sign-ins wait, want 2", n)
			}
			must(t, h.store.SignedIn(acct, 2, []home.DeviceID{front, back}))
			h.engine.SignedIn([]home.DeviceID{front, back})
			if r := h.row(front); r.Verdict != home.Current || r.Epoch != 2 {
				t.Errorf("shown as %v at %d after both ends were seen", r.Verdict, r.Epoch)
			}
		})
	})
}

func TestForeignDeviceIsShownAndNeverTouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Foreign}
		h.lan.held[back] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			h.see(front, back)
			time.Sleep(time.Second)
			if r := h.row(front); r.Verdict != home.ForeignHeld || r.Match != home.Foreign {
				t.Errorf("shown as %v, %v", r.Verdict, r.Match)
			}
			if err := h.engine.Bind([]home.DeviceID{front}); !errors.Is(err, home.ErrForeign) {
				t.Errorf("bound: %v", err)
			}
			h.bind(back)
			time.Sleep(time.Second)
			h.lan.mu.Lock()
			h.lan.held[back].match = home.Foreign // somebody else has taken it over
			h.lan.mu.Unlock()
			h.begin(2)
			time.Sleep(24 * time.Hour)
			for id := range h.lan.held {
				if h.lan.now(id).moves > 0 {
					t.Errorf("%s was touched", id)
				}
			}
		})
	})
}

func TestUnboundDeviceIsNeverTouchedWithoutItsOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Unbound}
		h.run(func() {
			h.see(front)
			h.begin(2)
			time.Sleep(24 * time.Hour)
		})
		if h.lan.held[front].moves > 0 {
			t.Error("a device that nobody bound was given the password")
		}
	})
}

func TestDeviceThatWasOffIsRekeyedWhenSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p := &played{match: home.Ours, holds: 1}
		h.lan.held[front] = p
		h.run(func() {
			h.see(front)
			time.Sleep(time.Second)
			h.bind(front)
			time.Sleep(time.Second)
			h.lan.mu.Lock()
			p.off = true
			h.lan.mu.Unlock()
			h.begin(2)
			time.Sleep(10 * time.Minute)
			if r := h.row(front); r.Verdict != home.Unreachable || r.Hint == "" {
				t.Errorf("shown as %v with hint %q", r.Verdict, r.Hint)
			}
			h.lan.mu.Lock()
			p.off = false
			h.lan.mu.Unlock()
			h.lan.sightings <- []home.Sighting{{
				Source: "iot-udp", Protocol: home.IOT, Keys: []string{"mac:000000000001"}, Kind: home.Plug,
				Addr: netip.MustParseAddrPort("127.9.0.77:9999"), At: time.Now(),
			}}
			time.Sleep(5 * time.Minute) // the roster holds on to an address for a while
			h.see(front)
			time.Sleep(time.Hour)
			if p := h.lan.now(front); p.holds != 2 {
				t.Errorf("holds epoch %d an hour after it came back", p.holds)
			}
		})
	})
}

func TestWhatADeviceSaysIsNoProof(t *testing.T) {
	for name, c := range map[string]struct {
		p    played
		want home.State
	}{
		"an error is not failure": {
			played{match: home.Ours, holds: 1, answer: errors.New("json decode error")},
			home.Current,
		},
		"ok is not success":     {played{match: home.Ours, holds: 1, lies: true}, home.Stale},
		"a refusal stays stale": {played{match: home.Ours, holds: 1, refuses: true}, home.Stale},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				p := c.p
				h.lan.held[front] = &p
				h.run(func() {
					h.see(front)
					time.Sleep(time.Second)
					h.bind(front)
					time.Sleep(time.Second)
					h.begin(2)
					time.Sleep(time.Minute)
					b, err := h.store.Binding(front)
					must(t, err)
					if b.Verdict.State != c.want {
						t.Errorf("recorded as %v, want %v", b.Verdict.State, c.want)
					}
					if is, _ := h.store.Intents(); (len(is) == 0) != (c.want == home.Current) {
						t.Errorf("intents on disk: %v", is)
					}
					first := h.lan.now(front).moves
					time.Sleep(24 * time.Hour)
					if tries := h.lan.now(front).moves - first; tries > 40 {
						t.Errorf("tried %d times in a day", tries)
					} else if c.want != home.Current && tries == 0 {
						t.Error("was given up")
					}
				})
			})
		})
	}
}

func TestANewerEpochOvertakesAMoveUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p := &played{match: home.Ours, holds: 1}
		h.lan.held[front] = p
		h.lan.delay = 5 * time.Second
		h.run(func() {
			h.see(front)
			time.Sleep(time.Second)
			h.bind(front)
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
			h.see(front)
			time.Sleep(time.Second)
			h.bind(front)
			time.Sleep(time.Second)
		})
		// The daemon died after the device was moved and before that was written down.
		c := home.Credential{Epoch: 2, Username: "Anna@example.org", Password: home.NewSecret("pw2")}
		_, err := h.store.BeginEpoch(acct, c, []byte{2}, []byte("{}"))
		must(t, err)
		_, err = h.store.Intend(front, 1, 2, time.Now())
		must(t, err)
		p.holds, p.moves = 2, 0

		var err2 error
		h.engine, err2 = daemon.New(daemon.Options{
			Ledger: h.store, Roster: devices.NewRoster(), Discovery: h.lan, Log: slog.New(slog.DiscardHandler),
			Drivers: map[home.Protocol]daemon.Driver{home.IOT: h.lan},
		})
		must(t, err2)
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
// method, what follows from it is already signed in, recorded, and told.
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
		var err error
		h.engine, err = daemon.New(daemon.Options{
			Ledger: ledger, Roster: devices.NewRoster(), Discovery: h.lan, Log: slog.New(slog.DiscardHandler),
			Drivers: map[home.Protocol]daemon.Driver{home.IOT: h.lan},
		})
		must(t, err)
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			h.see(front)
			time.Sleep(time.Second)
			h.bind(front)
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

func TestABoundDeviceKeepsItsIDUnderAStrongerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		const weak home.DeviceID = "iot-8006aa"
		h.lan.held[weak] = &played{match: home.Ours, holds: 1}
		sight := func(keys ...string) {
			h.lan.sightings <- []home.Sighting{{
				Source: "iot-udp", Protocol: home.IOT, Keys: keys, Name: "lamp", Kind: home.Plug,
				Addr: netip.MustParseAddrPort("127.9.0.9:9999"), At: time.Now(),
			}}
			time.Sleep(time.Second)
		}
		h.run(func() {
			sight("iot:8006AA")
			h.bind(weak)
			time.Sleep(time.Second)
			sight("mac:00000000000a", "iot:8006AA")
			_, rows, err := h.engine.House()
			if err != nil || len(rows) != 1 || rows[0].ID != weak || !rows[0].Bound || rows[0].MAC != "00000000000a" {
				t.Errorf("the house: %+v, %v", rows, err)
			}
			h.begin(2)
			time.Sleep(10 * time.Second)
			if b, err := h.store.Binding(weak); err != nil || b.DeviceEpoch != 2 {
				t.Errorf("recorded at epoch %d, %v", b.DeviceEpoch, err)
			}
			if ds, err := h.store.Devices(); err != nil || len(ds) != 1 || !slices.Contains(ds[0].Keys, "mac:00000000000a") {
				t.Errorf("recorded keys: %+v, %v", ds, err)
			}
			// After it was unbound, the strongest key names it, and the engine still knows what it holds.
			h.lan.mu.Lock()
			h.lan.held["mac-00000000000a"] = h.lan.held[weak]
			h.lan.mu.Unlock()
			must(t, h.engine.Unbind([]home.DeviceID{weak}))
			if _, rows, err = h.engine.House(); err != nil || len(rows) != 1 || rows[0].ID != "mac-00000000000a" ||
				rows[0].Bound ||
				!rows[0].LeftOut ||
				rows[0].Verdict != home.Current {
				t.Errorf("after it was unbound: %+v, %v", rows, err)
			}
			time.Sleep(time.Second)
		})
	})
}
