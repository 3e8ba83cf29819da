package app

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// client is a person with an account: an app, and a mailbox.
type client struct {
	t     testing.TB
	api   *v1.Client
	mails chan mail.Mail
}

// without is a transport without a network: a handler answers in the caller's goroutine.
type without struct{ http.Handler }

func (w without) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	w.ServeHTTP(answer, r)
	return answer.Result(), nil
}

func (c *client) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// call calls the API of the account service, as an app does.
func (c *client) call(token, method string, params, result any) error {
	return c.api.Call(context.Background(), home.NewSecret(token), method, params, result)
}

// signIn returns the token of a new session.
func (c *client) signIn(password string) (string, error) {
	var in struct{ Token string }
	err := c.call("", "login", map[string]string{
		"appType": Web.AppType, "cloudUserName": ownerEmail, "cloudPassword": password, "terminalUUID": "test",
	}, &in)
	return in.Token, err
}

// enrol signs a hub in, as rekeyd login does.
func (c *client) enrol(h *Hub, password string) error {
	token, err := c.signIn(password)
	if err != nil {
		return err
	}
	var word struct{ Pairing string }
	if err := c.call(token, "createPairing", struct{}{}, &word); err != nil {
		return err
	}
	p, err := pairing.Parse(word.Pairing)
	c.must(err)
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	defer stop()
	return h.enrol(ctx, p, ownerEmail, home.NewSecret(password))
}

// Send is mail.Mailer.
func (c *client) Send(_ context.Context, m mail.Mail) error {
	c.mails <- m
	return nil
}

var linkIn = regexp.MustCompile(`/(\w+)#t=([A-Z2-7]+)`)

// linkOf waits for a mail with a link to a page, and returns its token.
func (c *client) linkOf(page string) (token string, ok bool) {
	for {
		select {
		case m := <-c.mails:
			if found := linkIn.FindStringSubmatch(m.Text); found != nil && found[1] == page {
				return found[2], true
			}
		case <-time.After(time.Hour):
			return "", false
		}
	}
}
