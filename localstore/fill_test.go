package localstore_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

const spare home.DeviceID = "rk-aabbccddeeff"

// fill puts a record of every kind into a new store, with every field set that a caller can set. It runs in a synctest
// bubble, so that all times are those of the golden files in testdata, which were made with it.
func fill(t testing.TB, s *localstore.Store) {
	t.Helper()
	_, err := s.NextBoot()
	must(t, err)
	must(
		t,
		s.Enrol(
			fillAccount(),
			home.Credential{Epoch: 1, Username: "Anna@example.org", Password: home.NewSecret("password-1")},
		),
	)
	must(t, fillBegin(s, 1))
	ds := fillDevices()
	must(t, s.Bind(acct, append(ds, home.Device{ID: "mac-000000000009", Keys: []string{"mac:000000000009"}})))
	for _, id := range []home.DeviceID{front, spare} {
		must(t, observeErr(s, id, home.Verdict{State: home.Current, Epoch: 1}))
	}
	must(t, s.SignedIn(acct, 1, []home.DeviceID{front}))
	must(t, s.Unbind([]home.DeviceID{"mac-000000000009"}))
	time.Sleep(time.Hour)
	must(t, fillBegin(s, 2))
	_, err = s.Intend(front, 1, 2, time.Now())
	must(t, err)
	must(t, s.Postpone(front, time.Now().Add(time.Minute)))
	must(
		t,
		observeErr(s, back, home.Verdict{State: home.LockedOut, Until: time.Now().Add(2 * time.Hour), Detail: "it said so"}),
	)
	must(t, observeErr(s, spare, home.Verdict{State: home.Current, Epoch: 2}))
	must(t, s.Record(home.Event{At: time.Now(), What: "tested", Device: front, Epoch: 2, Detail: "every field"}))
	fillLater(t, s)
}

func observeErr(s *localstore.Store, id home.DeviceID, v home.Verdict) error {
	_, err := s.Observe(id, v, home.ProvesFirst, time.Now())
	return err
}

func fillAccount() home.Account {
	return home.Account{
		ID: acct, Email: "Anna@example.org", ServiceKey: []byte("service key"), ServiceSeal: []byte("service seal"),
		Notice:      []byte("hash 1"),
		NoticeEpoch: 1, NoticeJSON: []byte(`{"epoch":1}`), Brokers: []string{
			"mqtt://127.0.0.1:7355",
			"mqtt://127.0.0.2:7355",
		}, URL: "http://127.0.0.1:7354",
	}
}

func fillDevices() []home.Device {
	return []home.Device{
		{
			ID: front, Name: "front door", Kind: home.Camera, Protocol: home.TapoCam, Model: "C200(EU)",
			Addr: netip.MustParseAddrPort("127.0.0.9:443"),
			Keys: []string{"mac:50c7bf010203", "mdns:front._tapo"}, Seen: noon, Owner: "0123456789abcdef0123456789abcdef",
		},
		{
			ID:       back,
			Name:     "lamp",
			Kind:     home.Bulb,
			Protocol: home.IOT,
			Addr:     netip.MustParseAddrPort("[fe80::1]:9999"),
			Keys:     []string{"mac:50c7bf010204", "iot:8006AA"},
			Seen:     noon,
		},
		{ID: spare, Name: "hall", Kind: home.Switch, Protocol: home.Native, Keys: []string{"rk:rk-aabbccddeeff"}, Seen: noon},
	}
}

func fillBegin(s *localstore.Store, e home.Epoch) error {
	c := home.Credential{
		Epoch:       e,
		Username:    "Anna@example.org",
		Password:    home.NewSecret(fmt.Sprint("password-", e)),
		EpochSecret: home.NewSecret(fmt.Sprint("epoch secret ", e)),
	}
	_, err := s.BeginEpoch(acct, c, fmt.Append(nil, "hash ", e), fmt.Appendf(nil, `{"epoch":%d}`, e))
	return err
}

// fillLater is the part of fill that format 1 does not know.
func fillLater(t testing.TB, s *localstore.Store) {
	t.Helper()
	must(t, s.Consent(map[home.DeviceID]home.Consents{back: {
		FreshUntil: time.Now().UTC().Add(home.FreshTime),
		Cleartext:  home.CleartextConsent{Protocol: home.IOT, Addr: fillDevices()[1].Addr.Addr()},
	}}))
	_, err := s.Remember(
		acct, []home.Credential{{Username: "anna@example.org", Password: home.NewSecret("an earlier one")}},
	)
	must(t, err)
	must(
		t,
		s.SaveCloudSession(
			acct,
			home.CloudSession{URL: "https://127.0.0.1:1", Token: home.NewSecret("token"), Refresh: home.NewSecret("refresh")},
		),
	)
	for range 2 {
		must(t, errors.Join(s.Spend(front), s.Refused(front)))
	}
}
