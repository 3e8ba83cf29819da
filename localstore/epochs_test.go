package localstore_test

import (
	"slices"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

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
		t, dir, "the same grant, whose acknowledgement waits", func() { begin(t, s, 2) },
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
