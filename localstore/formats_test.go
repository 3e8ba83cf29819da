package localstore_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
	"github.com/rekeyd/rekeyd/localstore/seal"
)

// newestFormat is the number of migrations. testdata has a file of each format, made with fill by the program of its
// time.
const newestFormat = 6

var makeGolden = flag.Bool("golden", false, "write the golden file of the newest format, where there is none")

func golden(format int) string { return filepath.Join("testdata", fmt.Sprintf("format-%d.db", format)) }

// withKey copies the golden key, and a golden file where path names one, into a new state directory.
func withKey(t testing.TB, path string) string {
	t.Helper()
	dir := t.TempDir()
	for from, to := range map[string]string{path: "rekeyd.db", filepath.Join("testdata", "vault.key"): "vault.key"} {
		if from == "" {
			continue
		}
		raw, err := os.ReadFile(from)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, to), raw, 0o600))
	}
	return dir
}

// all is everything that a store returns.
type all struct {
	Account     home.Account
	Credentials []home.Credential
	Bindings    []home.Binding
	Devices     []home.Device
	Intents     []home.Intent
	Errands     []home.Errand
	History     []home.Event
	LeftOut     []string
	Session     home.CloudSession
	Secrets     int // the number of binding secrets
	Boot        uint64
	Signs       bool // the hub has its keys
	Budget      bool // the sign-ins of front are counted
}

func readAll(t testing.TB, s *localstore.Store) (a all) {
	t.Helper()
	get := func(err error) { t.Helper(); must(t, err) }
	var err error
	a.Account, err = s.Account()
	get(err)
	a.Credentials, err = s.Credentials(acct)
	get(err)
	a.Bindings, err = s.Bindings()
	get(err)
	a.Devices, err = s.Devices()
	get(err)
	a.Intents, err = s.Intents()
	get(err)
	a.Errands, err = s.Errands(100)
	get(err)
	a.History, err = s.History(100)
	get(err)
	a.LeftOut, err = s.LeftOut()
	get(err)
	if a.Session, err = s.CloudSession(acct); !errors.Is(err, home.ErrNotFound) {
		get(err)
	}
	secrets, err := s.BindingSecrets([]home.DeviceID{front, back, spare})
	get(err)
	a.Secrets = len(secrets)
	a.Boot, err = s.NextBoot()
	get(err)
	keys, err := s.HubKeys()
	get(err)
	a.Signs = len(keys.Sign.Reveal()) == 32 && len(keys.Seal.Reveal()) == 32
	_ = errors.Join(s.Spend(front), s.Refused(front))
	a.Budget = errors.Is(s.Spend(front), home.ErrBudget)
	return a
}

// wanted is what fill has put in, field by field. t0 is when fill began.
func wanted(format int, t0 time.Time) all {
	t1 := t0.Add(time.Hour) // epoch 2 began
	cred := func(e home.Epoch) home.Credential {
		return home.Credential{
			Epoch: e, Username: "Anna@example.org", Password: home.NewSecret(fmt.Sprint("password-",
				e)), EpochSecret: home.NewSecret(fmt.Sprint("epoch secret ", e)),
		}
	}
	account := fillAccount()
	account.Epoch, account.NoticeEpoch, account.Notice, account.NoticeJSON = 2, 2, []byte("hash 2"), []byte(`{"epoch":2}`)
	a := all{
		Account: account, Credentials: []home.Credential{
			cred(2),
			cred(1),
		}, Devices: fillDevices(), Secrets: 3, Boot: 2, Signs: true, Budget: format > 1,
		Bindings: []home.Binding{
			{
				Device: front, Account: acct, DeviceEpoch: 1, CloudEpoch: 1, Verdict: home.Verdict{
					State: home.Stale,
					Epoch: 1,
				}, Since: t1, Tries: 1,
				Next: t1.Add(time.Minute), ProofRank: home.ProvesFirst,
			},
			{
				Device: back, Account: acct, Verdict: home.Verdict{
					State: home.LockedOut, Until: t1.Add(2 * time.Hour),
					Detail: "it said so",
				}, Since: t1,
				Next: t1.Add(2 * time.Hour), Locked: t1.Add(2 * time.Hour),
			},
			{
				Device: spare, Account: acct, DeviceEpoch: 2, Verdict: home.Verdict{
					State: home.Current,
					Epoch: 2,
				}, Since: t1, Moved: t1, ProofRank: home.ProvesFirst,
			},
		},
		Intents: []home.Intent{{Device: front, Holds: []home.Epoch{1, 2}, To: 2, At: t1}},
		Errands: []home.Errand{
			{Kind: home.ErrandAck, Epoch: 2, At: t1},
			{Kind: home.ErrandBind, Device: front, At: t0},
			{Kind: home.ErrandBind, Device: back, At: t0},
			{Kind: home.ErrandBind, Device: spare, At: t0},
			{Kind: home.ErrandUnbind, Device: "mac-000000000009", At: t0},
			{Kind: home.ErrandSignIn, Device: spare, Epoch: 2, At: t1},
		},
		History: []home.Event{
			{At: t1, What: "tested", Device: front, Epoch: 2, Detail: "every field"},
			{At: t1, What: "device holds the new password", Device: spare, Epoch: 2},
			{At: t1, What: "epoch begun", Epoch: 2, Detail: "2 devices to rekey"},
			{At: t0, What: "device unbound", Device: "mac-000000000009"},
			{At: t0, What: "device holds the new password", Device: spare, Epoch: 1},
			{At: t0, What: "device holds the new password", Device: front, Epoch: 1},
			{At: t0, What: "device bound", Device: "mac-000000000009"},
			{At: t0, What: "device bound", Device: spare},
			{At: t0, What: "device bound", Device: back},
			{At: t0, What: "device bound", Device: front},
			{At: t0, What: "epoch begun", Epoch: 1, Detail: "0 devices to rekey"},
			{At: t0, What: "hub enrolled"},
		},
		LeftOut: []string{"mac:000000000009"},
	}
	if format > 1 {
		a.Credentials = append(
			a.Credentials, home.Credential{Username: "anna@example.org", Password: home.NewSecret("an earlier one")},
		)
		a.History = append([]home.Event{{At: t1, What: "earlier passwords remembered", Detail: "1"}}, a.History...)
		a.Session = home.CloudSession{
			URL:     "https://127.0.0.1:1",
			Token:   home.NewSecret("token"),
			Refresh: home.NewSecret("refresh"),
		}
	}
	if format < 3 { // these formats do not know it
		a.LeftOut = nil
		for i := range a.Bindings {
			a.Bindings[i].ProofRank = 0
		}
	}
	if format > 1 { // formats 2 and 3 have one consent for the whole account
		consents := &a.Bindings[1].Consents
		consents.Cleartext = home.CleartextConsent{Protocol: home.IOT, Addr: fillDevices()[1].Addr.Addr()}
		if format > 3 {
			consents.FreshUntil = t1.Add(home.FreshTime)
		}
	}
	if format > 5 {
		a.Bindings[2].Rekeyed = t1
	}
	if format == 1 { // nor the rules that a device may revert, and that a lock-out outlives other verdicts
		for i := range a.Bindings {
			a.Bindings[i].Moved, a.Bindings[i].Locked = time.Time{}, time.Time{}
		}
	}
	return a
}

func TestEveryFormatIsReadFieldByField(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if files, _ := filepath.Glob(golden(0)[:len("testdata")] + "/format-*.db"); len(files) != newestFormat &&
		!*makeGolden {
		t.Fatalf("%d golden files for %d formats", len(files), newestFormat)
	}
	for format := 1; format <= newestFormat; format++ {
		t.Run(fmt.Sprint(format), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				t0 := time.Now().UTC()
				if _, err := os.Stat(golden(format)); err != nil && *makeGolden && format == newestFormat {
					dir := withKey(t, "")
					s := open(t, dir)
					fill(t, s)
					must(t, s.Close())
					raw, err := os.ReadFile(filepath.Join(dir, "rekeyd.db"))
					must(t, err)
					must(t, os.WriteFile(golden(format), raw, 0o600))
					t0 = time.Now().UTC().Add(-time.Hour)
				} else {
					time.Sleep(time.Hour)
				}
				s := open(t, withKey(t, golden(format)))
				must(t, s.Check())
				got, want := reflect.ValueOf(readAll(t, s)), reflect.ValueOf(wanted(format, t0))
				for i := range got.NumField() {
					if g, w := got.Field(i).Interface(), want.Field(i).Interface(); !reflect.DeepEqual(g, w) {
						t.Errorf("%s is\n%+v, want\n%+v", got.Type().Field(i).Name, g, w)
					}
				}
			})
		})
	}
}

// dump returns every record of a file as text, sealed ones opened, random ones by their length.
func dump(t testing.TB, dir string) string {
	t.Helper()
	key, err := seal.Source{File: filepath.Join(dir, "vault.key")}.Load(false)
	must(t, err)
	db, err := bbolt.Open(filepath.Join(dir, "rekeyd.db"), 0o600, &bbolt.Options{ReadOnly: true})
	must(t, err)
	defer db.Close()
	var out strings.Builder
	var walk func(path string, b *bbolt.Bucket) error
	walk = func(path string, b *bbolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			at := fmt.Sprintf("%s%q", path, k)
			if v == nil {
				return walk(at+" ", b.Bucket(k))
			}
			if text, err := boltfile.Verify(k, v); err == nil {
				v = text
			}
			if plain, err := key.Open(v, strings.Split(path, `"`)[1]+"/"+string(k)); err == nil {
				v, at = plain, at+" (sealed)"
			}
			if !json.Valid(v) || bytes.Contains(k, []byte("keys")) {
				v = fmt.Appendf(nil, "%d bytes", len(v))
			}
			fmt.Fprintf(&out, "%s: %s\n", at, v)
			return nil
		})
	}
	must(t, db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error { return walk(fmt.Sprintf("%q ", name), b) })
	}))
	return out.String()
}

// A record that is written in another way than the golden file has it is a change of the format: see records.go.
func TestTheNewestFormatIsWrittenAsItsGoldenFile(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	synctest.Test(t, func(t *testing.T) {
		dir := withKey(t, "")
		s := open(t, dir)
		fill(t, s)
		must(t, s.Close())
		got, want := strings.Split(dump(t, dir), "\n"), strings.Split(dump(t, withKey(t, golden(newestFormat))), "\n")
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Fatalf(
					"record %d is written as\n%s\nthe golden file has\n%s",
					i,
					got[min(i, len(got)-1)],
					want[min(i, len(want)-1)],
				)
			}
		}
	})
}
