package tplink_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/tplink"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestAResetAtTheVendorIsRecordedAndAskedForOnce(t *testing.T) {
	v, h := newVendor(t), newHub(t)
	v.devices = []map[string]any{
		{"deviceMac": "50C7BF010203", "alias": "Hall", "deviceModel": "HS100(EU)", "status": 1},
		{
			"deviceMac": "5C-E9-31-01-02-03", "alias": "RnJvbnQgZG9vcg==", "deviceType": "SMART.TAPOPLUG", "deviceModel": "P110",
			"status": 0,
		},
		{"deviceMac": "none", "alias": "\x1b[2J"},
	}
	if e, err := h.login(t, v, "first", ""); e != 1 || err != nil {
		t.Fatal(e, err)
	}
	h.run(t)
	eventually(t, "the devices are listed", func() bool { list, ok := h.Listed(); return ok && len(list) == 2 })
	list, _ := h.Listed()
	if list[0].MAC != "50c7bf010203" || list[0].Name != "Hall" || !list[0].Online || list[1].Name != "Front door" ||
		list[1].Online {
		t.Errorf("%+v", list)
	}
	// A token that has run out is renewed, without a sign-in.
	v.set(func() { v.token, v.calls = "run out", nil })
	renewed := func() (n int) {
		v.set(func() { n = strings.Count(strings.Join(v.calls, " "), "refreshToken getDeviceList") })
		return n
	}
	eventually(t, "the token is renewed", func() bool { return renewed() == 1 })
	eventually(t, "the devices are listed with the new one", func() bool { return v.count("getDeviceList") > 0 })
	// The password is changed at the vendor's: token and refresh token end.
	v.set(func() { v.password, v.token, v.refresh, v.calls = "second", "", "", nil })
	eventually(t, "the reason is shown to the owner", func() bool {
		up, reason := h.State()
		return !up &&
			strings.Contains(reason, "rekeyd login") && h.Ended()
	})
	ends := func() (n int) {
		events, err := h.store.History(100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.What == "cloud ended the sign-in" {
				n++
			}
		}
		return n
	}
	eventually(t, "the token is presented once more, and the session ended", func() bool { return ends() == 1 })
	if n := v.count("getDeviceList"); n != 2 {
		t.Errorf("the refused token was presented %d times", n)
	}
	time.Sleep(200 * time.Millisecond) // ten times as long as it would take to ask again
	if n := v.count("login") + v.count("getDeviceList"); n != 0 {
		t.Errorf("the cloud was asked %d times after it had ended the session", n)
	}
	if n := ends(); n != 1 {
		t.Errorf("%d lines in the history", n)
	}
	// The old password is refused and begins nothing; the new one begins an epoch.
	if _, err := h.login(t, v, "first", ""); !errors.Is(err, home.ErrCredential) || home.HintOf(err) == "" {
		t.Errorf("the old password: %v", err)
	}
	if e, err := h.login(t, v, "second", ""); e != 2 || err != nil {
		t.Errorf("the new password: epoch %d, %v", e, err)
	}
	eventually(t, "the devices are listed again", func() bool { up, _ := h.State(); return up })
}

// A cloud in trouble refuses a valid token now and then.
func TestATokenThatIsRefusedOnceIsKept(t *testing.T) {
	v, h := newVendor(t), newHubEvery(t, time.Second)
	if _, err := h.login(t, v, "first", ""); err != nil {
		t.Fatal(err)
	}
	h.run(t)
	eventually(t, "the devices are listed", func() bool { up, _ := h.State(); return up })
	v.set(func() { v.refuses = 1 })
	eventually(t, "the refusal is shown", h.Ended)
	eventually(t, "the devices are listed", func() bool { up, _ := h.State(); return up && !h.Ended() })
	if s, err := h.store.CloudSession(mustAccount(t, h).ID); err != nil || s.Token.IsZero() {
		t.Errorf("the session is gone: %v", err)
	}
}

func TestACheckComesBeforeTheNextList(t *testing.T) {
	v, h := newVendor(t), newHubEvery(t, 12*time.Second)
	if _, err := h.login(t, v, "first", ""); err != nil {
		t.Fatal(err)
	}
	h.run(t)
	eventually(t, "the devices are listed", func() bool { return v.count("getDeviceList") == 1 })
	began := time.Now()
	h.Check()
	eventually(t, "they are listed again", func() bool { return v.count("getDeviceList") == 1 })
	if took := time.Since(began); took < time.Second || took > 9*time.Second {
		t.Errorf("listed after %v, want 2 s: not at once, and before the 10.8 s of the next list", took)
	}
}

func TestASecondFactorIsAskedForAndTriedOnce(t *testing.T) {
	v, h := newVendor(t), newHub(t)
	v.factor = true
	if _, err := h.login(t, v, "first", ""); !errors.Is(err, home.ErrCode) || home.HintOf(err) == "" {
		t.Fatalf("without a code: %v", err)
	}
	if _, err := h.login(t, v, "first", "000000"); !errors.Is(err, home.ErrCredential) {
		t.Errorf("a wrong code: %v", err)
	}
	if _, err := h.login(t, v, "first", "123456"); err == nil || errors.Is(err, home.ErrCode) {
		t.Errorf("the right code, too late: %v", err)
	}
	if _, err := h.login(t, v, "first", ""); !errors.Is(err, home.ErrCode) {
		t.Errorf("again without a code: %v", err)
	}
	if e, err := h.login(t, v, "first", "123456"); e != 1 || err != nil {
		t.Errorf("the right code: %d, %v", e, err)
	}
}

func TestAnAccountIsLookedForInItsRegionAndNowhereElse(t *testing.T) {
	v, h := newVendor(t), newHub(t)
	regional := newVendor(t)
	v.away = regional.Server
	if _, err := h.login(t, v, "first", ""); err != nil {
		t.Fatal(err)
	}
	if v.count("login") != 0 || regional.count("login") != 1 {
		t.Error("not signed in where the account is")
	}
	s, err := h.store.CloudSession(mustAccount(t, h).ID)
	if err != nil || s.URL != regional.URL {
		t.Errorf("later calls go to %s, %v", s.URL, err)
	}
}

func mustAccount(t *testing.T, h *hub) home.Account {
	t.Helper()
	a, err := h.store.Account()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestARefusalOfTheCloudHasAHintForTheOwner(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*vendor)
		want error
	}{
		"locked":  {func(v *vendor) { v.locked = true }, home.ErrUnavailable},
		"garbage": {func(v *vendor) { v.garbage = true }, home.ErrUnavailable},
		"gone":    {func(v *vendor) { v.Close() }, home.ErrUnavailable},
	} {
		v, h := newVendor(t), newHub(t)
		c.set(v)
		if _, err := h.login(t, v, "first", ""); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := h.store.Account(); !errors.Is(err, home.ErrNoAccount) {
			t.Errorf("%s: an account was kept: %v", name, err)
		}
	}
	h := newHub(t)
	if _, err := h.Login(t.Context(), tplink.Login{
		URL: "ftp://x", Email: email, Password: home.NewSecret("x"),
	}); err == nil {
		t.Error("any URL is taken")
	}
	if _, err := h.Login(t.Context(), tplink.Login{Email: email}); err == nil {
		t.Error("no password is taken")
	}
	if _, err := tplink.New(tplink.Options{}); err == nil {
		t.Error("no options are taken")
	}
}

// The cloud has checked the password of the first step; checkMFACodeAndLogin is about the code. A slip in the second
// must not begin an epoch.
func TestAPasswordThatTheCloudNeverTookBeginsNoEpoch(t *testing.T) {
	v, h := newVendor(t), newHub(t)
	v.factor = true
	if _, err := h.login(t, v, "first", ""); !errors.Is(err, home.ErrCode) {
		t.Fatal(err)
	}
	_, err := h.login(t, v, "frist", "123456")
	a, _ := h.store.Account()
	cs, _ := h.store.Credentials(a.ID)
	if err == nil && (len(cs) != 1 || !cs[0].Password.Equal(home.NewSecret("first"))) {
		t.Errorf("devices would be moved to a password that was never checked")
	}
}

// The owner signs in while the loop learns that the old token has ended.
func TestASessionThatEndsTakesNoNewerOneWithIt(t *testing.T) {
	v, h := newVendor(t), newHub(t)
	held, reached := make(chan struct{}), make(chan struct{}, 1) // the first request waits, whoever comes first
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "token=old" {
			select {
			case reached <- struct{}{}:
				<-held
			default:
			}
			_, _ = io.WriteString(w, `{"error_code":-20651}`)
			return
		}
		v.ServeHTTP(w, r)
	}))
	defer slow.Close()
	v.set(func() { v.away = slow })
	if _, err := h.Login(t.Context(), tplink.Login{
		URL: slow.URL, Email: email, Password: home.NewSecret("first"),
	}); err != nil {
		t.Fatal(err)
	}
	a, _ := h.store.Account()
	if err := h.store.SaveCloudSession(a.ID, home.CloudSession{URL: slow.URL, Token: home.NewSecret("old")}); err != nil {
		t.Fatal(err)
	}
	h.run(t)
	<-reached
	v.set(func() { v.password = "second" })
	if _, err := h.Login(t.Context(), tplink.Login{
		URL: slow.URL, Email: email, Password: home.NewSecret("second"),
	}); err != nil {
		t.Fatal(err)
	}
	close(held)
	time.Sleep(300 * time.Millisecond)
	if s, err := h.store.CloudSession(a.ID); err != nil || s.Token.IsZero() {
		t.Errorf("the new session is gone: %v", err)
	}
}
