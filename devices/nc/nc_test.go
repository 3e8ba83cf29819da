package nc_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/drivertest"
	"github.com/rekeyd/rekeyd/devices/nc"
)

// camera answers as a test wants it to.
type camera struct {
	mu       sync.Mutex // guards the fields below
	status   int
	bound    bool
	username string
	login    int
	codes    map[string][]int // by command, the answer to each call; 0 where there is none left
	after    int              // the status after a bind with code 0
	got      []string         // requests with their forms, in order
}

func (c *camera) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(raw))
	c.mu.Lock()
	defer c.mu.Unlock()
	command := form.Get("command")
	c.got = append(c.got, strings.TrimSpace(r.URL.Path+" "+command+" "+form.Get("Password")+form.Get("password")))
	out := map[string]any{"errorCode": 0}
	switch r.URL.Path {
	case "/login.fcgi":
		out = map[string]any{"errorCode": c.login, "token": "t"}
		if form.Get("Username") == "" {
			out = map[string]any{"errorCode": 1000}
		}
	case "/netconf_get.fcgi":
		out["MacAddress"] = "18:A6:F7:00:00:01"
	case "/getsysinfo.fcgi":
		out["cameraName"], out["model"] = "garden", "NC220"
	case "/get_cloud.fcgi":
		bound := "0" // as text: which of the two cameras write is not known
		if c.bound {
			bound = "1"
		}
		out["status"], out["binded"], out["username"], out["cameraname"] = c.status, bound, c.username, "garden"
	case "/cloud.fcgi":
		code := 0
		if list := c.codes[command]; len(list) > 0 {
			code, c.codes[command] = list[0], list[1:]
		}
		if out["errorCode"] = code; code == 0 {
			c.bound = command == "bind"
			if c.status = c.after; c.bound {
				c.username = form.Get("username")
			}
		}
	}
	_ = json.NewEncoder(w).Encode(out)
}

// commands returns the commands of the cloud module that arrived.
func (c *camera) commands() (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.got {
		if command, ok := strings.CutPrefix(g, "/cloud.fcgi "); ok {
			all = append(all, command)
		}
	}
	return all
}

// received reports whether a request contained text.
func (c *camera) received(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.got, func(g string) bool { return strings.Contains(g, text) })
}

// serve has the camera answer, and returns it as it was seen: by its address alone.
func serve(t *testing.T, c http.Handler) home.Device {
	t.Helper()
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	return home.Device{
		ID: "nc-127-0-0-1", Protocol: home.NC, Keys: []string{"nc:127.0.0.1"},
		Addr: netip.MustParseAddrPort(strings.TrimPrefix(s.URL, "http://")),
	}
}

const base64OfWebPage = "b2YgaXRzIHdlYiBwYWdl"

// One question shows the owner, and whether the cloud accepts the camera's password.
func TestStateOfACameraBecomesItsVerdict(t *testing.T) {
	state := func(status int, username string) *camera {
		return &camera{bound: username != "", status: status, username: username}
	}
	silent := &camera{bound: true, status: 2}
	for name, c := range map[string]struct {
		camera   *camera
		recorded home.Epoch
		match    home.Match
		state    home.State
		epoch    home.Epoch
	}{
		"bound to no account":                  {state(0, ""), 4, home.Unbound, home.Blank, 0},
		"another account's":                    {state(2, "bob@example.org"), 4, home.Foreign, home.ForeignHeld, 0},
		"states no owner":                      {silent, 4, home.Unknown, home.Mismatch, 0},
		"its cloud refuses it":                 {state(4, anna), 4, home.Ours, home.Stale, 4},
		"its cloud refuses the newest":         {state(4, anna), 5, home.Ours, home.Stale, 0},
		"connected with the newest":            {state(2, "Anna@example.org"), 5, home.Ours, home.Current, 5},
		"the newest, its cloud is not reached": {state(3, anna), 5, home.Ours, home.Current, 5},
		"connected, with an unknown one":       {state(2, anna), 0, home.Ours, home.Stale, 0},
		"connecting with an older one":         {state(1, anna), 3, home.Ours, home.Stale, 3},
	} {
		t.Run(name, func(t *testing.T) {
			dev, cs := serve(t, c.camera), candidates()
			cs.Recorded = c.recorded
			f := drivertest.Probe(t, driver(t, drivertest.NewDisk()), dev, cs)
			drivertest.Expect(t, f, c.match, c.state, c.epoch)
			if f.Device.Model != "NC220" || f.Device.Name != "garden" || f.Device.Kind != home.Camera {
				t.Errorf("described as %+v", f.Device)
			}
			if len(c.camera.commands()) != 0 || c.camera.received("-password") {
				t.Error("a probe sent a command or a password of the account")
			}
		})
	}
}

// Any host that has the address receives the requests, so no secret is in them without the owner's consent: not the
// camera's own password either.
func TestACameraIsRecognisedWithoutAnySecret(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*home.Candidates)
		state  home.State
	}{
		"not bound":             {func(c *home.Candidates) { c.Terms = home.Terms{} }, home.Unsupported},
		"no consent":            {func(c *home.Candidates) { c.Terms.Cleartext = false }, home.Unsupported},
		"its own is not known":  {func(c *home.Candidates) { c.DevicePassword = home.Secret{} }, home.Unasked},
		"another provider":      {func(c *home.Candidates) { c.Account.Provider = home.Home }, home.Unsupported},
		"proved more than that": {func(c *home.Candidates) { c.Terms.Least = home.ProvesFirst }, home.Downgraded},
	} {
		t.Run(name, func(t *testing.T) {
			camera := &camera{bound: true, status: 4, username: anna}
			dev, cs := serve(t, camera), candidates()
			c.change(&cs)
			drivertest.Expect(t, drivertest.Probe(t, driver(t, drivertest.NewDisk()), dev, cs), home.Unknown, c.state, 0)
			if len(camera.got) != 1 || camera.got[0] != "/login.fcgi" {
				t.Errorf("it was sent %q", camera.got)
			}
		})
	}
}

// A password that the camera refused costs one of its sign-ins and is not sent again, also after a restart.
func TestTheCamerasOwnPasswordIsRefusedOnce(t *testing.T) {
	camera, disk := &camera{login: 1011}, drivertest.NewDisk()
	dev := serve(t, camera)
	for range 3 {
		f := drivertest.Probe(t, driver(t, disk), dev, candidates())
		drivertest.Expect(t, f, home.Unknown, home.Mismatch, 0)
	}
	sent := 0
	for _, g := range camera.got {
		if strings.Contains(g, base64OfWebPage) {
			sent++
		}
	}
	if sent != 1 || disk.Spent[dev.ID] != 1 {
		t.Errorf("it was sent %d times, and counted %d times", sent, disk.Spent[dev.ID])
	}
}

// A record without a hardware address is for the camera that first accepted its own password.
func TestAnotherCameraAtTheAddressIsNotTheDevice(t *testing.T) {
	first, disk := &camera{bound: true, status: 2, username: anna}, drivertest.NewDisk()
	dev := serve(t, first)
	drivertest.Expect(t, drivertest.Probe(t, driver(t, disk), dev, candidates()), home.Ours, home.Stale, 4)
	kept := disk.Kept[dev.ID]
	kept.Verifier = "18a6f7000002"
	disk.Kept[dev.ID] = kept
	f := drivertest.Probe(t, driver(t, disk), dev, candidates())
	if !f.Other || f.Verdict.State != home.Mismatch {
		t.Errorf("found %s (%s)", f.Verdict.State, f.Verdict.Detail)
	}
	if err := driver(t, disk).Rekey(t.Context(), dev, move()); err == nil || len(first.commands()) != 0 {
		t.Errorf("moved: %v, %q", err, first.commands())
	}
	// Over TLS another certificate is enough, before the password is sent.
	kept.Verifier = "18a6f7000001 " + strings.Repeat("ab", 32)
	disk.Kept[dev.ID] = kept
	first.got = nil
	if f := drivertest.Probe(t, driver(t, disk), dev, candidates()); !f.Other || first.received(base64OfWebPage) {
		t.Errorf("found %s, and received %q", f.Verdict.State, first.got)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []nc.Options{{}, {Budget: drivertest.NewDisk()}, {Budget: drivertest.NewDisk(), Memory: drivertest.NewDisk(), Timeout: -1}} {
		if _, err := nc.New(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	if err := nc.Recognise(t.Context(), netip.MustParseAddrPort("127.0.0.1:1")); !errors.Is(err, home.ErrUnreachable) {
		t.Errorf("nothing answers: %v", err)
	}
}
