package boltstore_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/boltstore"
	"github.com/rekeyd/rekeyd/cloudlink/account/storetest"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// golden opens a copy of a file in testdata.
func golden(t *testing.T, name string) *boltstore.Store {
	t.Helper()
	dir := t.TempDir()
	for from, to := range map[string]string{name: "account.db", "account.key": "account.key"} {
		raw, err := os.ReadFile(filepath.Join("testdata", from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := boltstore.Open(dir, home.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// must returns v; the error is the test's end.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestAFileOfFormat1IsBroughtUpToDate opens a file that the first version wrote. Anna has two plugs and a native
// camera behind a hub, has reset her password once, and has asked for another reset; Bob has registered and not
// activated.
func TestAFileOfFormat1IsBroughtUpToDate(t *testing.T) {
	s := golden(t, "format-1.db")
	id := must(s.Identity())(t)
	a := must(s.AccountByEmail("ANNA.owner@example.org"))(t)
	if a.Email != "Anna.Owner@example.org" || a.Epoch != 2 || len(a.Secret.Reveal()) != 32 ||
		a.Hash.Reveal()[:10] != "$argon2id$" ||
		a.At.Year() != 2026 {
		t.Errorf("account %+v", a)
	}
	if err := a.Notice.Verify(id.Keys, a.ID); err != nil || a.Notice.Epoch != 2 {
		t.Errorf("the notice was not signed anew: %+v, %v", a.Notice, err)
	}
	if ms := must(s.Members(a.ID))(t); len(ms) != 0 {
		t.Errorf("members %v have names of before", ms)
	}
	ds := must(s.Devices(a.ID))(t)
	var ids []string
	for _, d := range ds {
		ids = append(ids, d.ID)
	}
	const cam = "rk-nvavd6pluobagjhht6rri6ukmm"
	if !slices.Equal(ids, []string{"plug-aaa", "plug-aab", cam}) {
		t.Fatalf("devices %v", ids)
	}
	if ds[0].SignedIn != 2 || ds[1].SignedIn != 1 || ds[2].SignedIn != 0 || ds[2].Model != "NV1" ||
		ds[2].MAC != "50c7bf010203" {
		t.Errorf("devices %+v", ds)
	}
	for _, id := range ids {
		if d := must(s.Device(a.ID, id))(t); len(d.Secret.Reveal()) != 32 {
			t.Errorf("%s has lost its binding secret", id)
		}
	}
	if in := must(s.AccountsOfNative(cam))(t); !slices.Equal(in, []string{a.ID}) {
		t.Errorf("the camera may enrol with %v", in)
	}
	var history []string
	for _, e := range must(s.History(a.ID))(t) {
		history = append(history, e.What)
	}
	want := []string{
		"reset requested", "password changed", "reset requested", "device enrolled", "pairing made", "hub enrolled",
		"pairing made",
		"account registered",
	}
	if !slices.Equal(history, want) {
		t.Errorf("history %q, want %q", history, want)
	}
	if ss := must(s.Sessions(a.ID))(t); len(ss) != 2 || ss[0].Door != account.DoorTPCamera || ss[0].Entry != ss[1].Entry {
		t.Errorf("sessions %+v", ss)
	}

	if _, err := s.AccountByEmail("bob@example.org"); err == nil {
		t.Error("an account that was not activated is one")
	}
	r := must(s.NewestRegistration("BOB@example.org"))(t)
	if r.Email != "Bob@example.org" || r.Hash.Reveal()[:10] != "$argon2id$" || r.Door != account.DoorWeb ||
		r.Expires.Sub(r.At) != 24*time.Hour {
		t.Errorf("registration %+v", r)
	}
	if n := must(s.WaitingMails())(t); n != 2 {
		t.Errorf("%d mails wait, want 2", n)
	}
	due, _, err := s.ClaimMails(time.Now(), time.Now().Add(time.Minute), 10)
	if err != nil || len(due) != 2 || due[0].Tries == 0 || due[0].Subject == "" || due[0].Expires.Before(due[0].At) {
		t.Errorf("mails %+v, %v", due, err)
	}
	b := account.Account{ID: r.Account, Email: r.Email, Hash: r.Hash, Epoch: 1, Secret: a.Secret, Notice: a.Notice}
	if err := s.CreateAccount(b, r.Key); err != nil {
		t.Errorf("Bob's activation: %v", err)
	}
}

// newest is the file of today's format. With UPDATE_GOLDEN set, the test writes it: after a new migration, and never
// else.
const newest = "format-6.db"

// TestTheFileOfTodayIsReadFieldByField compares a file that was written once with a store that is filled now. A
// change of a record that has no migration shows as a difference.
func TestTheFileOfTodayIsReadFieldByField(t *testing.T) { testGolden(t, newest) }

// TestAFileOfFormat5IsReadFieldByField: its records have no checksums.
func TestAFileOfFormat5IsReadFieldByField(t *testing.T) { testGolden(t, "format-5.db") }

func testGolden(t *testing.T, file string) {
	t.Helper()
	if want := fmt.Sprintf("format-%d.db", boltstore.Format()); newest != want {
		t.Fatalf("the golden file is %s, want %s: write it, and keep the test of the one before", newest, want)
	}
	identity := func(role wire.Role, seed byte) *wire.Identity {
		return must(wire.NewIdentity(role, bytes.Repeat([]byte{seed}, 32), bytes.Repeat([]byte{seed + 1}, 32)))(t)
	}
	hub, device := identity(wire.RoleHub, 1), identity(wire.RoleDevice, 3)
	fill := func(dir string) *boltstore.Store {
		s := must(boltstore.Open(dir, home.Secret{}))(t)
		t.Cleanup(func() { _ = s.Close() })
		storetest.Fill(t, s, hub, device)
		return s
	}
	if os.Getenv("UPDATE_GOLDEN") != "" && file == newest {
		dir := t.TempDir()
		key := must(os.ReadFile(filepath.Join("testdata", "account.key")))(t)
		if err := os.WriteFile(filepath.Join(dir, "account.key"), key, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := fill(dir).Close(); err != nil {
			t.Fatal(err)
		}
		raw := must(os.ReadFile(filepath.Join(dir, "account.db")))(t)
		if err := os.WriteFile(filepath.Join("testdata", newest), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := storetest.Content(t, golden(t, file), hub.Name, device.Name)
	want := storetest.Content(t, fill(t.TempDir()), hub.Name, device.Name)
	if !slices.Equal(got, want) {
		t.Errorf("the file holds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
