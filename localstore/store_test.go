package localstore_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerEnv); dir != "" {
		os.Exit(write(dir))
	}
	goleak.VerifyTestMain(m)
}

const (
	acct  home.AccountID = "acc-1"
	front home.DeviceID  = "mac-50c7bf010203"
	back  home.DeviceID  = "mac-50c7bf010204"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants checks for a sentinel.
func wants(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("err %v, want %v", err, want)
	}
}

func open(t testing.TB, dir string) *localstore.Store {
	t.Helper()
	s, err := localstore.Open(localstore.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func reopen(t testing.TB, s *localstore.Store, dir string) *localstore.Store {
	t.Helper()
	must(t, s.Close())
	return open(t, dir)
}

func account(e home.Epoch) home.Account {
	return home.Account{
		ID:          acct,
		Email:       "Anna@example.org",
		ServiceKey:  []byte("sign"),
		Notice:      fmt.Append(nil, e),
		NoticeEpoch: e,
		NoticeJSON:  []byte("notice"),
		Brokers:     []string{"mqtt://127.0.0.1:1"},
	}
}

func credential(e home.Epoch) home.Credential {
	return home.Credential{
		Epoch:       e,
		Username:    "Anna@example.org",
		Password:    home.NewSecret(fmt.Sprintf("password-%d", e)),
		EpochSecret: home.NewSecret(fmt.Sprintf("epoch-secret-%d", e)),
	}
}

func device(id home.DeviceID) home.Device {
	return home.Device{
		ID:       id,
		Name:     "Plug " + string(id),
		Kind:     home.Plug,
		Protocol: home.IOT,
		Addr:     netip.MustParseAddrPort("127.0.0.9:9999"),
		Keys:     []string{"mac:" + string(id)},
		Seen:     noon,
	}
}

func begin(t testing.TB, s *localstore.Store, e home.Epoch) int {
	t.Helper()
	n, err := s.BeginEpoch(acct, credential(e), fmt.Append(nil, e), []byte("{}"))
	must(t, err)
	return n
}

// enrolled is a store of a hub at epoch 1 with these devices.
func enrolled(t testing.TB, dir string, ids ...home.DeviceID) *localstore.Store {
	t.Helper()
	s := open(t, dir)
	must(t, s.Enrol(account(1), home.Credential{}))
	begin(t, s, 1)
	bind(t, s, ids...)
	return s
}

func bind(t testing.TB, s *localstore.Store, ids ...home.DeviceID) {
	t.Helper()
	ds := make([]home.Device, len(ids))
	for i, id := range ids {
		ds[i] = device(id)
	}
	must(t, s.Bind(acct, ds))
}

func at(state home.State, e home.Epoch) home.Verdict { return home.Verdict{State: state, Epoch: e} }

func observe(t testing.TB, s *localstore.Store, id home.DeviceID, v home.Verdict) home.Binding {
	t.Helper()
	b, err := s.Observe(id, v, 0, noon)
	must(t, err)
	onDisk, err := s.Binding(id)
	must(t, err)
	onDisk.Verdict.Detail = b.Verdict.Detail
	if onDisk != b {
		t.Fatalf("returned %+v, and kept %+v", b, onDisk)
	}
	return b
}

// errands returns what waits, as words.
func errands(t testing.TB, s *localstore.Store) (words []string) {
	t.Helper()
	es, err := s.Errands(math.MaxInt)
	must(t, err)
	for _, e := range es {
		words = append(words, fmt.Sprintf("%s %s %d", e.Kind, e.Device, e.Epoch))
	}
	return words
}

func intents(t testing.TB, s *localstore.Store) []home.Intent {
	t.Helper()
	is, err := s.Intents()
	must(t, err)
	return is
}

// events returns the history's words, newest first.
func events(t testing.TB, s *localstore.Store) (words []string) {
	t.Helper()
	es, err := s.History(math.MaxInt)
	must(t, err)
	for _, e := range es {
		words = append(words, e.What)
	}
	return words
}

func equal[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	g, err := json.Marshal(got)
	must(t, err)
	w, err := json.Marshal(want)
	must(t, err)
	if !bytes.Equal(g, w) {
		t.Fatalf("%s: %s, want %s", what, g, w)
	}
}

// unchanged checks that do writes nothing to disk.
func unchanged(t testing.TB, dir, what string, do func()) {
	t.Helper()
	path := filepath.Join(dir, "rekeyd.db")
	before, err := os.ReadFile(path)
	must(t, err)
	do()
	after, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Fatalf("%s: the file was written to", what)
	}
}

func TestHubKeepsItsKeysAndCountsItsStarts(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	keys, err := s.HubKeys()
	must(t, err)
	if len(keys.Sign.Reveal()) != 32 || len(keys.Seal.Reveal()) != 32 || keys.Sign == keys.Seal {
		t.Fatal("want two different seeds of 32 bytes")
	}
	name, err := s.Terminal()
	must(t, err)
	for want := uint64(1); want < 4; want++ {
		n, err := s.NextBoot()
		must(t, err)
		if n != want {
			t.Fatalf("start %d counted as %d", want, n)
		}
		s = reopen(t, s, dir)
		again, err := s.HubKeys()
		must(t, err)
		same, err := s.Terminal()
		must(t, err)
		if again != keys || same != name || name == "" {
			t.Fatal("the hub has other keys or another name after a start")
		}
	}
	if other, err := open(t, t.TempDir()).HubKeys(); err != nil || other == keys {
		t.Fatal("two hubs have the same keys", err)
	}
}

func TestHubBelongsToOneAccount(t *testing.T) {
	s := open(t, t.TempDir())
	_, err := s.Account()
	wants(t, err, home.ErrNoAccount)
	wants(t, s.Bind(acct, []home.Device{device(front)}), home.ErrNoAccount)
	a := account(1)
	a.Epoch = 7 // nothing is in the vault yet, whatever the caller passes
	must(t, s.Enrol(a, credential(1)))
	got, err := s.Account()
	must(t, err)
	equal(t, "account", got, account(1))

	begin(t, s, 1)
	bind(t, s, front)
	other := account(1)
	other.ID, other.Email = "acc-2", "other@example.org"
	err = s.Enrol(other, home.Credential{})
	wants(t, err, home.ErrForeign)
	if home.HintOf(err) == "" {
		t.Fatal("no hint")
	}

	again := account(2)
	again.URL = "https://127.0.0.1:7354"
	must(t, s.Enrol(again, home.Credential{}))
	got, err = s.Account()
	must(t, err)
	again.Epoch = 1
	equal(t, "account enrolled again", got, again)
	wants(t, s.Enrol(account(1), home.Credential{}), home.ErrOldEpoch)
	forged := account(2)
	forged.Notice = []byte("another")
	wants(t, s.Enrol(forged, home.Credential{}), home.ErrForged)
	if bs, err := s.Bindings(); err != nil || len(bs) != 1 {
		t.Fatalf("%d bindings after enrolling again, %v", len(bs), err)
	}

	must(t, s.SetBrokers(acct, []string{"mqtt://127.0.0.2:1", "mqtt://127.0.0.3:1"}))
	wants(t, s.SetBrokers("acc-2", nil), home.ErrNoAccount)
	got, err = s.Account()
	must(t, err)
	equal(t, "brokers", got.Brokers, []string{"mqtt://127.0.0.2:1", "mqtt://127.0.0.3:1"})

	wants(t, s.Leave("acc-2"), home.ErrNoAccount)
	must(t, s.Leave(acct))
	_, err = s.Account()
	wants(t, err, home.ErrNoAccount)
	if bs, err := s.Bindings(); err != nil || len(bs)+len(errands(t, s)) != 0 {
		t.Fatalf("left behind: %v %v %v", bs, errands(t, s), err)
	}
	must(t, s.Check())
	must(t, s.Enrol(other, home.Credential{}))
	if cs, err := s.Credentials("acc-2"); err != nil || len(cs) != 0 {
		t.Fatalf("another account got %d credentials, %v", len(cs), err)
	}
	if cs, err := s.Credentials(acct); err != nil || len(cs) != 1 {
		t.Fatalf("credentials of the account that was left: %d, %v", len(cs), err)
	}
}
