package daemon_test

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
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
	h.drive(map[home.Protocol]daemon.Driver{home.IOT: h.lan, home.TPAP: h.lan, home.KLAP2: h.lan, home.NC: h.lan})
}

// drive replaces the engine by one with these drivers.
func (h *house) drive(drivers map[home.Protocol]daemon.Driver) {
	h.t.Helper()
	var mu sync.Mutex
	n := 0
	h.woken = func() int { mu.Lock(); defer mu.Unlock(); return n }
	h.replace(func(o *daemon.Options) {
		o.Drivers, o.Wake, o.Recheck = drivers, func() { mu.Lock(); n++; mu.Unlock() }, h.recheck
	})
}

// replace replaces the engine by a new one, as a restart does. set changes what is special about it.
func (h *house) replace(set func(*daemon.Options)) {
	h.t.Helper()
	o := daemon.Options{
		Ledger: h.store, Roster: devices.NewRoster(), Discovery: h.lan, Log: slog.New(slog.DiscardHandler),
		Drivers: map[home.Protocol]daemon.Driver{home.IOT: h.lan},
	}
	set(&o)
	var err error
	h.engine, err = daemon.New(o)
	must(h.t, err)
}

// take has devices sighted, and binds them once they were probed.
func (h *house) take(ids ...home.DeviceID) {
	h.t.Helper()
	h.see(ids...)
	time.Sleep(time.Second)
	h.bind(ids...)
}

// begin begins an epoch as the link does: on disk first, then the engine is informed.
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
				netip.AddrFrom4([4]byte{127, 9, 0, byte(i + 1)}), 9999,
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
