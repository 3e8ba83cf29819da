package account_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
)

const year = 365 * 24 * time.Hour

// setBack runs the service with a clock that is a year ahead while before runs, and sets it right.
func (c *cloud) setBack(before func()) {
	c.clock.add(year)
	before()
	c.clock.add(-year)
}

func TestALockDoesNotWaitForAClockThatWasAhead(t *testing.T) {
	c := open(t, func(p *account.Policy) { p.LoginFrom = 10_000 })
	c.register()
	c.setBack(c.lockOut)
	for range 2 { // a try does not begin the lock anew
		if _, _, code := c.login(password, "Kasa_Android"); code == 0 {
			t.Fatal("the lock ended when the clock was set back")
		}
		c.clock.add(61 * time.Minute)
	}
	if _, _, code := c.login(password, "Kasa_Android"); code != 0 {
		t.Errorf("code %d more than two hours after the clock was set back", code)
	}
}

func TestATicketDoesNotWaitForAClockThatWasAhead(t *testing.T) {
	c := open(t, nil)
	c.register()
	var word string
	c.setBack(func() {
		begun, err := c.s.Reset(t.Context(), c.forgot("web"), second, account.Choices{})
		if err != nil {
			t.Fatal(err)
		}
		word = begun.Ticket
	})
	c.clock.add(2 * time.Hour)
	if _, _, stop, ok := c.s.Watch(word); ok {
		stop()
		t.Error("the ticket lasts for a year")
	}
}

func TestATerminalCookieDoesNotWaitForAClockThatWasAhead(t *testing.T) {
	c := open(t, func(p *account.Policy) { p.LoginFrom = 10_000 })
	c.register()
	web, _ := url.Parse(c.web.URL)
	browser := c.terminal("")
	c.setBack(func() {
		if !browser.signIn(password) {
			t.Fatal("no sign-in")
		}
	})
	var kept []*http.Cookie
	for _, k := range browser.jar.Cookies(web) {
		if k.Name == "rekeyd_terminal" {
			kept = append(kept, k)
		}
	}
	c.lockOut()
	late := c.terminal("")
	late.jar.SetCookies(web, kept)
	if len(kept) != 1 || late.signIn(password) {
		t.Errorf("a cookie from a year ahead opens a lock, of %d cookies", len(kept))
	}
}

// TestAServiceGoesOnAfterItsClockWasSet: a reset mail, a new password and a sign-in work at once.
func TestAServiceGoesOnAfterItsClockWasSet(t *testing.T) {
	for name, wrong := range map[string]time.Duration{
		"a year ahead": year, "a year behind": -year, "none at boot": -time.Since(time.Unix(60, 0)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t, nil)
			c.clock.add(wrong)
			_, hub, _ := c.enrolled()
			if code := c.reset(c.forgot("web"), second); code != 0 {
				t.Fatalf("reset with the wrong clock: %d", code)
			}
			c.clock.add(-wrong)
			if code := c.reset(c.forgot("kasa"), third); code != 0 {
				t.Fatalf("reset with the right clock: %d", code)
			}
			if _, _, code := c.login(third, "Kasa_Android"); code != 0 {
				t.Errorf("sign-in: %d", code)
			}
			if _, welcome := hub.hello(2); welcome == nil || welcome.Epoch != 3 {
				t.Errorf("welcome %+v, want epoch 3", welcome)
			}
		})
	}
}
