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
	"slices"
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
	a.Epoch = 7 // nothing is in the vault yet, whatever the caller says
	must(t, s.Enrol(a, credential(1)))
	got, err := s.Account()
	must(t, err)
	equal(t, "account", got, account(1))

	begin(t, s, 1)
	bind(t, s, front)
	other := account(1)
	other.ID = "acc-2"
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

func TestNoticesNeverGoBack(t *testing.T) {
	dir := t.TempDir()
	s := enrolled(t, dir)
	must(t, s.NoteNotice(acct, 3, []byte("h3"), []byte(`{"copy":1}`)))
	must(t, s.NoteNotice(acct, 3, []byte("h3"), []byte(`{"copy":2}`)))
	for name, c := range map[string]struct {
		e    home.Epoch
		hash string
		want error
	}{
		"older": {2, "h2", home.ErrOldEpoch}, "another of the same": {3, "other", home.ErrForged}, "none": {
			0, "",
			home.ErrOldEpoch,
		},
	} {
		unchanged(t, dir, name, func() { wants(t, s.NoteNotice(acct, c.e, []byte(c.hash), nil), c.want) })
	}
	wants(t, s.NoteNotice("acc-2", 4, nil, nil), home.ErrNoAccount)
	a, err := s.Account()
	must(t, err)
	if a.Epoch != 1 || a.NoticeEpoch != 3 || string(a.NoticeJSON) != `{"copy":2}` {
		t.Fatalf("account %+v", a)
	}
	// A grant of what was missed in between leaves the newer notice.
	must(t, second(s.BeginEpoch(acct, credential(2), []byte("h2"), []byte("{}"))))
	a, err = s.Account()
	must(t, err)
	if a.Epoch != 2 || a.NoticeEpoch != 3 || string(a.Notice) != "h3" {
		t.Fatalf("account %+v", a)
	}
	must(t, s.NoteNotice(acct, home.LastEpoch, []byte("last"), nil))
	wants(t, s.NoteNotice(acct, 1, []byte("wrapped"), nil), home.ErrOldEpoch)
	wants(t, s.NoteNotice(acct, 0, []byte("wrapped"), nil), home.ErrOldEpoch)
}

func second(_ int, err error) error { return err }

func TestGrantBeginsAnEpochWithAllThatFollows(t *testing.T) {
	dir := t.TempDir()
	s := enrolled(t, dir, front, back)
	observe(t, s, front, at(home.Current, 1))
	must(t, s.Postpone(front, noon.Add(time.Hour)))
	locked := home.Verdict{State: home.LockedOut, Until: noon.Add(2 * time.Hour)}
	if b := observe(t, s, back, locked); !b.Next.Equal(locked.Until) {
		t.Fatalf("a locked-out device may be touched at %v", b.Next)
	}
	if n := begin(t, s, 2); n != 1 {
		t.Fatalf("%d devices stale, want 1", n)
	}
	s = reopen(t, s, dir)
	b, err := s.Binding(front)
	must(t, err)
	if b.Verdict.State != home.Stale || b.Verdict.Epoch != 1 || b.DeviceEpoch != 1 || b.Tries != 0 || !b.Next.IsZero() ||
		b.Since.Equal(noon) {
		t.Fatalf("binding %+v", b)
	}
	if b, err = s.Binding(back); err != nil || b.Verdict.State != home.LockedOut || !b.Next.Equal(locked.Until) {
		t.Fatalf("a new epoch ends a lock-out: %+v, %v", b, err)
	}
	cs, err := s.Credentials(acct)
	must(t, err)
	if len(cs) != 2 || cs[0] != credential(2) || cs[1] != credential(1) {
		t.Fatalf("%d credentials", len(cs))
	}
	equal(t, "errands", errands(t, s), []string{"ack  2", "bind " + string(front) + " 0", "bind " + string(back) + " 0"})
	if got := events(t, s)[0]; got != "epoch begun" {
		t.Fatalf("history %q", got)
	}

	// The same again only acknowledges again; an older one does nothing.
	es, err := s.Errands(1)
	must(t, err)
	must(t, s.Answered(es))
	before := events(t, s)
	if n := begin(t, s, 2); n != 0 || errands(t, s)[len(errands(t, s))-1] != "ack  2" || len(events(t, s)) != len(before) {
		t.Fatalf("the same grant again: %d stale, %v", n, errands(t, s))
	}
	unchanged(
		t,
		dir,
		"the same grant, whose acknowledgement waits",
		func() { begin(t, s, 2) },
	) // its answer may be under way
	forged := credential(2)
	forged.EpochSecret = home.NewSecret("another")
	unchanged(
		t,
		dir,
		"another grant of the epoch",
		func() { wants(t, second(s.BeginEpoch(acct, forged, nil, nil)), home.ErrForged) },
	)
	for _, e := range []home.Epoch{0, 1} {
		unchanged(t, dir, "an older grant", func() {
			wants(t, second(s.BeginEpoch(acct, credential(e), nil, nil)), home.ErrOldEpoch)
		})
	}
	wants(t, second(s.BeginEpoch("acc-2", credential(9), nil, nil)), home.ErrNoAccount)
	begin(t, s, home.LastEpoch)
	begin(t, s, home.LastEpoch)
	wants(t, second(s.BeginEpoch(acct, credential(1), nil, nil)), home.ErrOldEpoch)
	wants(t, second(s.BeginEpoch(acct, credential(home.LastEpoch-1), nil, nil)), home.ErrOldEpoch)
	cs, err = s.Credentials(acct)
	must(t, err)
	if cs[0].Epoch != home.LastEpoch {
		t.Fatalf("the last epoch is kept as %d", cs[0].Epoch)
	}
	must(t, s.Check())
}

func TestADeviceThatWasAheadOfTheGrantIsSignedIn(t *testing.T) {
	s := enrolled(t, t.TempDir(), front)
	must(t, s.Enrol(account(2), home.Credential{Epoch: 2, Password: home.NewSecret("typed")}))
	if b := observe(t, s, front, at(home.Current, 2)); b.DeviceEpoch != 2 ||
		slices.Contains(errands(t, s), "sign-in "+string(front)+" 2") {
		t.Fatalf("%+v, %v", b, errands(t, s))
	}
	if n := begin(t, s, 2); n != 0 || !slices.Contains(errands(t, s), "sign-in "+string(front)+" 2") {
		t.Fatalf("%d stale, %v", n, errands(t, s))
	}
}
