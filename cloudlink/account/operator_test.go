package account_test

import (
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// operator returns a client of the calls that the daemon's own socket answers.
func (c *cloud) operator() func(method string, params, result any) v1.Code {
	web := httptest.NewServer(c.s.Operator())
	c.t.Cleanup(web.Close)
	client, err := v1.New(web.URL)
	if err != nil {
		c.t.Fatal(err)
	}
	return func(method string, params, result any) v1.Code {
		err := client.Call(c.t.Context(), home.Secret{}, method, params, result)
		if e, ok := errors.AsType[*v1.Error](err); ok {
			return e.Code
		}
		if err != nil {
			c.t.Fatal(err)
		}
		return 0
	}
}

func TestTheOperatorReadsTheCodesWithoutMail(t *testing.T) {
	c := open(t, func(p *account.Policy) { p.Activation = true })
	call := c.operator()
	var offer struct {
		Code     string
		Activate bool
	}
	if code := call("getResetPasswordEmail", p{"email": email}, nil); code != v1.NotRegistered {
		t.Errorf("forgot of an unknown address: %d", code)
	}
	if code := call("register", p{"email": email, "password": "short"}, nil); code != v1.BadNewPassword {
		t.Errorf("a short password: %d", code)
	}
	if code := call("register", p{"email": email, "password": password}, &offer); code != 0 || offer.Code == "" {
		t.Fatalf("register: %d %+v", code, offer)
	}
	first := offer.Code
	// Forgotten before the activation: the code activates, and so does the one before.
	if code := call("getResetPasswordEmail", p{"email": email}, &offer); code != 0 || !offer.Activate {
		t.Fatalf("forgot before the activation: %d %+v", code, offer)
	}
	for _, code := range []string{offer.Code, first} {
		if got := call("activate", p{"token": code}, nil); got != 0 && got != v1.LinkExpired {
			t.Fatalf("activate: %d", got)
		}
	}
	if code := call("register", p{"email": email, "password": password}, nil); code != account.EmailTaken {
		t.Errorf("register again: %d", code)
	}
	offer.Activate = false
	if code := call("getResetPasswordEmail", p{"email": email}, &offer); code != 0 || offer.Activate {
		t.Fatalf("forgot: %d %+v", code, offer)
	}
	if code := call("resetPassword", p{"token": offer.Code, "newPassword": second}, nil); code != 0 {
		t.Fatalf("reset: %d", code)
	}
	if _, _, code := c.login(second, ""); code != 0 {
		t.Errorf("login: %d", code)
	}
	for _, method := range []string{"login", "getDeviceList", "createPairing", "modifyCloudPassword"} {
		if code := call(method, p{}, nil); code != v1.InvalidInput {
			t.Errorf("%s at the operator's door: %d", method, code)
		}
	}
	// The API of the network answers no code.
	var any struct{ Code string }
	if code := c.call("", "getResetPasswordEmail", p{"email": email}, &any); code != 0 || any.Code != "" {
		t.Errorf("the network's answer: %d %+v", code, any)
	}
}

func TestThePresentPasswordIsRefusedAsTheNewOne(t *testing.T) {
	c := open(t, nil)
	c.register()
	token := c.forgot("web")
	if code := c.reset(token, password); code != v1.BadNewPassword {
		t.Fatalf("the present password: %d", code)
	}
	if code := c.reset(token, second); code != 0 { // and it used nothing up
		t.Fatalf("another one: %d", code)
	}
}

func TestForgotBeforeTheActivationSendsItsMailAgain(t *testing.T) {
	c := open(t, func(p *account.Policy) { p.Activation, p.ForgotPause = true, 1 })
	c.register()
	c.mailed("Activate your account", 1)
	forgot := func(address string) (answer p) {
		if code := c.call("", "getResetPasswordEmail", p{"email": address, "door": "kasa"}, &answer); code != 0 {
			t.Fatalf("forgot: %d", code)
		}
		return answer
	}
	known, unknown := forgot(email), forgot("absent@example.org")
	if len(known) != 0 || len(unknown) != 0 {
		t.Errorf("the answers are %v and %v", known, unknown)
	}
	tokens := c.mailed("Activate your account", 2)
	if code := c.call("", "activate", p{"token": tokens[1]}, nil); code != 0 {
		t.Fatalf("the second link: %d", code)
	}
	c.signIn()
	if n := c.mail.count("Reset your password"); n != 0 {
		t.Errorf("%d reset mails for an account that was not active", n)
	}
}
