package localstore_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// refusedSignIn spends a sign-in that the owner has just ordered, and that the device refuses.
func refusedSignIn(s *localstore.Store, id home.DeviceID) error {
	if err := errors.Join(s.Retry(nil, false), s.Spend(id)); err != nil {
		return err
	}
	return s.Refused(id)
}

func TestSignInsAreCountedOnDisk(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		open := func() *localstore.Store {
			s, err := localstore.Open(localstore.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := open()
		defer func() { _ = s.Close() }()
		spend := func(id home.DeviceID, want error) {
			t.Helper()
			if err := refusedSignIn(s, id); !errors.Is(err, want) {
				t.Errorf("spend on %s: %v, want %v", id, err, want)
			}
		}
		for range 3 {
			spend("mac-1", nil)
			time.Sleep(10 * time.Minute)
		}
		for range 3 { // however often it is asked, and the hub restarted
			spend("mac-1", home.ErrBudget)
			_ = s.Close()
			s = open()
		}
		spend("mac-2", nil)
		time.Sleep(30 * time.Minute) // the first is an hour old
		spend("mac-1", nil)
		spend("mac-1", home.ErrBudget)
		time.Sleep(2 * time.Hour)
		spend("mac-1", nil)
		spend("mac-1", nil)
		spend("mac-1", home.ErrBudget) // six in a day
		time.Sleep(5 * time.Hour)
		spend("mac-1", home.ErrBudget)
		time.Sleep(17 * time.Hour) // the first three are a day old
		spend("mac-1", nil)
		for range 10 { // what is right costs nothing
			spend("mac-3", nil)
			if err := s.Good("mac-3"); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			spend("mac-3", nil)
		}
		spend("mac-3", home.ErrBudget)

		// A device that is locked is left alone.
		if err := errors.Join(s.Enrol(home.Account{ID: "a", NoticeEpoch: 1}, home.Credential{}),
			s.Bind("a", []home.Device{{ID: "mac-4"}})); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Observe("mac-4", home.Verdict{State: home.LockedOut, Until: time.Now().Add(2 * time.Hour)}, 0,
			time.Now()); err != nil {
			t.Fatal(err)
		}
		spend("mac-4", home.ErrBudget)
		time.Sleep(2*time.Hour + time.Second)
		spend("mac-4", nil)
	})
}

// A view of the device shows when the next sign-in may be sent.
func TestUsedUpSignInsSayUntilWhen(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := localstore.Open(localstore.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		until := func(want time.Time) {
			t.Helper()
			wait, ok := errors.AsType[home.WaitError](refusedSignIn(s, "mac-1"))
			if !ok || !wait.Until.Equal(want) {
				t.Errorf("waits until %s, %t; want %s", wait.Until, ok, want)
			}
			time.Sleep(time.Until(want) - time.Second)
			if err := refusedSignIn(s, "mac-1"); err == nil {
				t.Error("one is sent before that")
			}
			time.Sleep(time.Second)
		}
		first := time.Now()
		for range 3 {
			if err := refusedSignIn(s, "mac-1"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
		}
		until(first.Add(time.Hour))
		for range 3 { // six in all
			if err := refusedSignIn(s, "mac-1"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		until(first.Add(24 * time.Hour))
		if err := refusedSignIn(s, "mac-1"); err != nil {
			t.Errorf("a day later: %v", err)
		}
	})
}

func TestOneSignInAnHourIsHeldBackForAPasswordJustGiven(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := localstore.Open(localstore.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
		must(t, err)
		defer func() { _ = s.Close() }()
		for range 2 {
			must(t, errors.Join(s.Spend("mac-1"), s.Refused("mac-1")))
		}
		wants(t, s.Spend("mac-1"), home.ErrBudget)
		must(t, s.Enrol(account(1), home.Credential{Epoch: 1, Username: "a", Password: home.NewSecret("just given")}))
		must(t, errors.Join(s.Spend("mac-1"), s.Refused("mac-1")))
		wants(t, s.Spend("mac-1"), home.ErrBudget)
	})
}

func TestASignInWithoutAResultIsGivenBackOnceAnHour(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		open := func() *localstore.Store {
			s, err := localstore.Open(localstore.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
			must(t, err)
			return s
		}
		s := open()
		must(t, s.Spend("mac-1"))
		must(t, s.Close()) // killed before the device answered
		s = open()
		defer func() { _ = s.Close() }()
		for range 2 {
			must(t, errors.Join(s.Spend("mac-1"), s.Refused("mac-1")))
		}
		wants(t, s.Spend("mac-1"), home.ErrBudget)
		time.Sleep(time.Hour)
		for range 3 { // two of them without a result: one is given back
			must(t, s.Spend("mac-1"))
		}
		wants(t, s.Spend("mac-1"), home.ErrBudget)
	})
}

// A state from a backup knows nothing of the sign-ins since, six in a day at most. With those it stays below the ten
// after which cameras lock (devices/PROTOCOLS.md, section 2.3); a password that was just given can be tried.
func TestAStateFromABackupSpendsHalfABudget(t *testing.T) {
	for name, restore := range map[string]func(*localstore.Store) error{
		"restored": func(s *localstore.Store) error { return s.Renew("hub-old") },
		"copied, and signed in again": func(s *localstore.Store) error {
			return s.Enrol(account(3), home.Credential{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				s := enrolled(t, dir, front)
				must(t, restore(s))
				if err := refusedSignIn(s, front); err != nil {
					t.Errorf("the first: %v", err)
				}
				sent := 1
				for range 23 * 4 {
					if refusedSignIn(s, front) == nil {
						sent++
					}
					time.Sleep(15 * time.Minute)
				}
				if sent > 3 {
					t.Errorf("%d sign-ins in a day", sent)
				}
			})
		})
	}
}

// TestOneSignInOfADayIsKeptForThePasswordJustGiven: five wrong ones do not have the right password wait for a day.
func TestOneSignInOfADayIsKeptForThePasswordJustGiven(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := enrolled(t, dir, front)
		time.Sleep(2 * time.Hour) // nothing was given lately
		for range 10 {
			if s.Spend(front) == nil {
				must(t, s.Refused(front))
			}
			time.Sleep(time.Hour)
		}
		wait, ok := errors.AsType[home.WaitError](s.Spend(front))
		if !ok || time.Until(wait.Until) < time.Hour {
			t.Errorf("five wrong sign-ins, and the next: %+v", wait)
		}
		given := home.Credential{Epoch: 1, Username: "anna@example.org", Password: home.NewSecret("the right one")}
		must(t, s.Enrol(account(1), given))
		if err := s.Spend(front); err != nil {
			t.Errorf("the password that was just given: %v", err)
		}
		must(t, s.Refused(front))
		if err := s.Spend(front); !errors.Is(err, home.ErrBudget) {
			t.Errorf("the next: %v, want home.ErrBudget", err)
		}
	})
}

// A camera or switch may count wrong sign-ins for ever: ten in a row would lock its owner out.
func TestSignInsInARowAreBoundedOverDays(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := localstore.Open(localstore.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
		must(t, err)
		defer func() { _ = s.Close() }()
		must(t, s.Enrol(home.Account{ID: "a", NoticeEpoch: 1}, home.Credential{}))
		id := home.DeviceID("mac-000000000001")
		must(t, s.Bind("a", []home.Device{{ID: id}}))
		refusals := func(order func() error) (n int) {
			t.Helper()
			for range 30 { // days
				must(t, order())
				for s.Spend(id) == nil {
					must(t, s.Refused(id))
					n++
				}
				time.Sleep(25 * time.Hour)
			}
			return n
		}
		if n := refusals(func() error { return nil }); n != 8 {
			t.Errorf("%d sign-ins were sent in a month, want 8", n)
		}
		if n := refusals(func() error { return s.Retry([]home.DeviceID{id}, false) }); n != 1 {
			t.Errorf("%d sign-ins were sent for orders to try all, want 1", n)
		}
		must(t, s.Retry([]home.DeviceID{id}, true))
		wait, refused := errors.AsType[home.WaitError](errors.Join(s.Spend(id), s.Refused(id), s.Spend(id)))
		v := wait.Verdict()
		if !refused || v.State != home.Refusing || !strings.Contains(v.Detail, "9 sign-ins in a row") ||
			!strings.Contains(v.Hint("hall"), "rekeyd rekey hall") {
			t.Errorf("after an order that names it: %+v", v)
		}
		must(t, s.Retry([]home.DeviceID{id}, true))
		must(t, s.Spend(id))
		must(t, s.Good(id))
		time.Sleep(25 * time.Hour)
		if err := s.Spend(id); err != nil {
			t.Errorf("after one that was right: %v", err)
		}
	})
}
