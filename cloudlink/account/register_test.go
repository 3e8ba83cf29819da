package account_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
)

// mailed returns the tokens of the mails with a subject, oldest first, once there are n.
func (c *cloud) mailed(subject string, n int) []string {
	c.t.Helper()
	eventually(c.t, "the mails", func() bool { return c.mail.count(subject) >= n })
	c.mail.mu.Lock()
	defer c.mail.mu.Unlock()
	var tokens []string
	for _, m := range c.mail.mails {
		if m.Subject == subject {
			tokens = append(tokens, tokenIn.FindStringSubmatch(m.Text)[1])
		}
	}
	return tokens
}

func (c *cloud) registerWith(pw string) {
	c.t.Helper()
	if code := c.call("", "register", p{"email": email, "password": pw}, nil); code != 0 {
		c.t.Fatalf("register: %d", code)
	}
}

func TestALinkActivatesTheRegistrationThatItWasSentFor(t *testing.T) {
	for name, chosen := range map[string]int{"the first": 0, "the last": 1} {
		t.Run(name, func(t *testing.T) {
			c := open(t, func(p *account.Policy) { p.Activation = true })
			passwords := []string{password, second}
			c.registerWith(password)
			c.mailed("Activate your account", 1)
			c.registerWith(second)
			tokens := c.mailed("Activate your account", 2)
			if code := c.call("", "activate", p{"token": tokens[chosen]}, nil); code != 0 {
				t.Fatal(code)
			}
			for i, pw := range passwords {
				want := v1.WrongPassword
				if i == chosen {
					want = 0
				}
				if _, _, code := c.login(pw, ""); code != want {
					t.Errorf("password of registration %d: %d, want %d", i, code, want)
				}
			}
			if code := c.call("", "activate", p{"token": tokens[1-chosen]}, nil); code != v1.LinkExpired {
				t.Errorf("the other link, after the account is active: %d", code)
			}
		})
	}
}

func TestAThrottledRegistrationChangesNothing(t *testing.T) {
	c := open(t, func(p *account.Policy) { p.Activation, p.ForgotPause = true, time.Hour })
	c.registerWith(password)
	token := c.mailed("Activate your account", 1)[0]
	c.registerWith(second)
	c.dropped("throttled", 1)
	if code := c.call("", "activate", p{"token": token}, nil); code != 0 {
		t.Fatalf("the link of the first registration: %d", code)
	}
	if _, _, code := c.login(password, ""); code != 0 {
		t.Errorf("the password of the first registration: %d", code)
	}
	if n := c.mail.count("Activate your account"); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// TestARegistrationDoesNotRevealWhetherAnAccountExists: whoever registers an address knows the password that they
// chose, and could learn from a login with it whether somebody else has an account.
func TestARegistrationDoesNotRevealWhetherAnAccountExists(t *testing.T) {
	c := open(t, func(p *account.Policy) { p.Activation = true })
	c.registerWith(password)
	if code := c.call("", "activate", p{"token": c.mailed("Activate your account", 1)[0]}, nil); code != 0 {
		t.Fatal(code)
	}
	c.registerWith(second) // of an address that has an account
	if _, _, code := c.login(second, ""); code != account.NotActivated {
		t.Errorf("login with the password of a registration that a mail was sent for: %d, want the answer for an unknown "+
			"address", code)
	}
	c.signIn() // the owner
}

func TestRegistrationsOfOneNetworkAddressAreLimited(t *testing.T) {
	c := open(t, func(p *account.Policy) { p.Activation, p.ForgotFrom = true, 3 })
	register := func(name, from string) v1.Code {
		err := c.s.Register(t.Context(), name+"@example.org", password, account.DoorWeb, "", from)
		if e, ok := errors.AsType[*v1.Error](err); ok {
			return e.Code
		}
		if err != nil {
			t.Fatal(err)
		}
		return 0
	}
	for i, want := range []v1.Code{0, 0, 0, v1.RateLimit, v1.RateLimit} {
		if code := register(fmt.Sprint("user", i), "192.0.2.7"); code != want {
			t.Errorf("registration %d: %d, want %d", i, code, want)
		}
	}
	if code := register("user3", "192.0.2.8"); code != 0 {
		t.Errorf("from another address: %d", code)
	}
	if n := c.mail.count("Activate your account"); n > 4 {
		t.Errorf("%d mails", n)
	}
}
