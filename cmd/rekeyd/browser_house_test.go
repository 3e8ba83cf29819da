package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/rekeyd/rekeyd/cloudlink/npmtest"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// screenshots writes the page as a phone and as a desktop show it, light and dark, into $SCREENSHOTS; without that it
// only checks that none is wider than its screen.
func (b *tab) screenshots(name string) {
	b.t.Helper()
	for _, screen := range []struct {
		name          string
		width, height int64
	}{{"phone", 360, 740}, {"desktop", 1280, 800}} {
		for _, scheme := range []string{"light", "dark"} {
			b.do(
				call(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
					Width: screen.width, Height: screen.height, DeviceScaleFactor: 1, Mobile: screen.name == "phone",
				}),
				call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
				}),
			)
			b.shows() // no barrier, and no wider than the screen
			dir := os.Getenv("SCREENSHOTS")
			if dir == "" {
				continue
			}
			var data []byte
			b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
				got, err := cdp.Call(ctx, t, cdppage.CaptureScreenshot, cdppage.CaptureScreenshotParams{})
				data = []byte(got.Data) // the library has decoded it
				return err
			}))
			ok(b.t, os.MkdirAll(dir, 0o755))
			ok(b.t, os.WriteFile(filepath.Join(dir, name+"-"+screen.name+"-"+scheme+".png"), data, 0o644))
		}
	}
}

// TestAnOwnerReadsAndRunsTheHouseInARealBrowser begins with a hub that is not signed in, signs the browser in with the
// link of `rekeyd open`, and binds, looks at and leaves out devices.
func TestAnOwnerReadsAndRunsTheHouseInARealBrowser(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile(
		filepath.Join(npmtest.Packages(t, filepath.Join("testdata", "npm")), "node_modules", "axe-core", "axe.min.js"),
	)
	ok(t, err)
	if !nettest.InNamespace(t) {
		return
	}
	const password, page = "first-Horse-Battery", "the page of my house"
	var specs []sim.Spec
	for _, name := range []string{
		"Lamp", "Kettle", "Radiator", "Hall", strings.Repeat("a-name-of-63-letters", 3) + "abc",
		"👩\u200d👩\u200d👧 room", "<b>Desk</b>",
	} {
		specs = append(specs, sim.Spec{
			Kind: home.Plug, Protocol: home.KLAP2, Name: name, Username: rigEmail, Password: home.NewSecret(password),
		})
	}
	specs = append(specs, sim.Spec{
		Kind: home.Plug, Protocol: home.KLAP2, Name: "Neighbour", Username: "bob@example.org", Password: home.NewSecret("of-bob"),
	})
	r := newRigOf(t, specs)
	r.start()
	r.await("daemon", time.Minute, func(s daemon.Status) bool { return len(s.Devices) == len(specs) })
	b := newTab(t, "http://"+defaultPage, "en", string(axe), true)
	b.open("/")
	b.shows("Do you have a TP-Link account?", "rekeyd setup", "P110-0001")
	b.screenshots("first-question")
	b.open("/account/register")
	b.shows("Register", "12 to 32")
	b.screenshots("register")

	if out, err := r.rekeyd(password, "register", rigEmail, "--password-stdin"); err != nil {
		t.Fatalf("register: %s", out)
	}
	if out, err := r.rekeyd(password, "login", rigEmail, "--password-stdin"); err != nil {
		t.Fatalf("login: %s", out)
	}
	b.open("/")
	b.shows("7 more devices have proved a password of yours", "none is kept yet")
	b.open("/signin")
	b.shows("rekeyd open")
	b.screenshots("sign-in")
	link, err := r.rekeyd("", "open")
	ok(t, err)
	b.do(chromedp.Navigate(strings.TrimSpace(link)))
	b.shows("Choose a password for this hub", "Not now")
	b.screenshots("choose-password")
	b.fill("password", page, "again", page)
	b.press("/access")
	b.shows("The password is set", "1 browser is signed in")
	b.screenshots("access")
	b.press("/signout")
	b.shows("none is kept yet")
	b.open("/signin")
	b.fill("password", page+"x")
	b.press("/signin")
	b.shows("The password is wrong.")
	b.fill("password", page)
	b.press("/signin")
	b.shows("Sign out", "7 more devices")
	b.screenshots("not-kept")
	b.press("/bind-ours")
	b.shows("7 devices are on your newest password. Nothing is left to do.", "Your order is on its way.", "<b>Desk</b>")
	b.screenshots("all-kept")
	b.open("/?find=lamp")
	b.shows("Lamp")
	b.do(chromedp.Click(chromedp.CSS(`ul.devices a`)))
	b.shows("holds the newest password", "password number 1", "klap2")
	b.screenshots("device")
	b.do(chromedp.SetValue(chromedp.CSS(`input[name="name"]`), "Lamp of Anna"))
	b.do(chromedp.Click(chromedp.CSS(`form[action$="/rename"] button`)))
	b.shows("Lamp of Anna", "Your order is on its way.")
	b.do(chromedp.Click(chromedp.CSS(`form[action$="/probe"] button`)))
	b.shows("holds the newest password", "Your order is on its way.")
	b.do(chromedp.Click(chromedp.CSS(`form[action$="/unbind"] button`)))
	b.shows("Your order is on its way.")
	b.open("/")
	b.shows("6 devices are on your newest password", "Others")
	b.open("/passwords")
	b.shows("An earlier password")
	b.screenshots("passwords")
	b.fill("password", "an-earlier-one-1")
	b.press("/passwords/earlier")
	b.shows("knows one password more")
	b.open("/?state=others")
	b.shows("Others", "P110-0008", "Find a device")
	b.screenshots("filtered")
	b.open("/history")
	b.shows("device holds the new password (password number 1)", "Lamp")
	b.screenshots("history")
	b.open("/account/")
	b.shows("Sign in", "Forgot your password?")
	b.screenshots("account")
	b.clean([]string{password, page}, "401", "422")

	ru := newTab(t, "http://"+defaultPage, "ru", "", false)
	ru.open("/")
	ru.sees("На новейшем пароле: 6 устройств.", "Другие")
}
