// Package tplink is TP-Link's own cloud as a provider of an account: sign-in, the list of the account's devices, and noticing that the
// password was changed. That cloud knows nothing of hubs: it signs no notices and sends no grants, so the owner types a new password once.
//
// What is known of it comes from what its clients say (account.md, 2). None of this was ever tried against it.
package tplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// DefaultURL is where clients ask first; the cloud names the account's region then.
const DefaultURL = "https://wap.tplinkcloud.com"

// appType is the door through which this hub signs in: the Kasa app's.
const appType = "Kasa_Android"

// Cloud speaks to the cloud. It remembers nothing: what a sign-in brings is the caller's to keep.
type Cloud struct {
	base     *url.URL
	terminal string
}

// New returns the cloud at base (DefaultURL when empty). terminal is this hub's own name there: random, and always the same. It connects to
// nothing.
func New(base, terminal string) (*Cloud, error) {
	if base == "" {
		base = DefaultURL
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !private(u) {
		return nil, &home.Error{
			Op: "reach the cloud", Err: errors.New("its address is no https URL"),
			Hint: "give --cloud-url an address that begins with https:// (http:// does for this machine alone)",
		}
	}
	return &Cloud{u, terminal}, nil
}

// private tells that nobody on the way hears what is sent there.
func private(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// Entry is what a sign-in brings.
type Entry struct {
	Account home.AccountID
	Email   string // as registered
	Session home.CloudSession
}

// Challenge is a sign-in that waits for the code in a mail.
type Challenge struct {
	Email string

	url     string
	process home.Secret
}

// Login signs in. It sends the password once, and once more only where the cloud says that the account is in another region: a wrong one
// is never repeated. It returns home.ErrCredential, home.ErrUnavailable, or home.ErrSecondFactor with a challenge for Confirm.
func (c *Cloud) Login(ctx context.Context, email string, password home.Secret) (Entry, *Challenge, error) {
	at, err := c.region(ctx, email)
	if err != nil {
		return Entry{}, nil, explain("sign in", err)
	}
	params := map[string]any{
		"appType": appType, "cloudUserName": email, "cloudPassword": password.Reveal(), "terminalUUID": c.terminal, "refreshTokenNeeded": true,
	}
	var in entry
	err = c.call(ctx, at, home.Secret{}, "login", params, &in)
	if e, ok := errors.AsType[*v1.Error](err); ok && e.Code == v1.BadRegion {
		var moved struct{ AppServerURL string }
		e.Details(&moved)
		if at, err = c.allowed(moved.AppServerURL); err == nil {
			err = c.call(ctx, at, home.Secret{}, "login", params, &in)
		}
	}
	if e, ok := errors.AsType[*v1.Error](err); ok && e.Code == v1.SecondFactor {
		return c.challenge(ctx, at, email, password, e)
	}
	if err != nil {
		return Entry{}, nil, explain("sign in", err)
	}
	out, err := in.enter(at, email)
	return out, nil, err
}

// region asks where the account is. A cloud that does not say is asked where it is.
func (c *Cloud) region(ctx context.Context, email string) (string, error) {
	var out struct{ AppServerURL string }
	err := c.call(ctx, c.base.String(), home.Secret{}, "getAccountStatusAndUrl", map[string]string{"appType": appType, "cloudUserName": email}, &out)
	if e, ok := errors.AsType[*v1.Error](err); ok && !e.Is(home.ErrUnavailable) && e.Code != v1.NotRegistered || err == nil && out.AppServerURL == "" {
		return c.base.String(), nil
	}
	if err != nil {
		return "", err
	}
	return c.allowed(out.AppServerURL)
}

// allowed takes an address that the cloud names only where it is the cloud's own: of the same domain, and as private on the way. The
// password and the token go there.
func (c *Cloud) allowed(at string) (string, error) {
	u, err := url.Parse(at)
	if err == nil && u.Host != "" && u.User == nil && u.RawQuery == "" && private(u) && (u.Scheme == "https" || c.base.Scheme == "http") &&
		domain(u.Hostname()) == domain(c.base.Hostname()) {
		return strings.TrimSuffix(u.String(), "/"), nil
	}
	return "", fmt.Errorf("it names a server of somebody else's for this account: %w", home.ErrForged)
}

// domain returns the last two labels of a name; an address as it is.
func domain(host string) string {
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(host, ".")), ".")
	if net.ParseIP(host) != nil || len(labels) < 2 {
		return strings.ToLower(host)
	}
	return strings.Join(labels[len(labels)-2:], ".")
}

// challenge has the code sent, by mail: the only way that needs no app of the vendor's. That the calls of the second factor are taken in
// this version of the API is a guess [?]: clients are known to make them in the newer, signed one only.
func (c *Cloud) challenge(ctx context.Context, at, email string, password home.Secret, e *v1.Error) (Entry, *Challenge, error) {
	var d struct {
		MFAProcessID string
		Types        []int `json:"supportedMFATypes"`
	}
	e.Details(&d)
	if d.MFAProcessID == "" {
		return Entry{}, nil, explain("sign in", e)
	}
	params := map[string]any{"appType": appType, "cloudUserName": email, "cloudPassword": password.Reveal(), "terminalUUID": c.terminal}
	if err := c.call(ctx, at, home.Secret{}, "getEmailVC4TerminalMFA", params, nil); err != nil {
		return Entry{}, nil, explain("have a code sent", err)
	}
	return Entry{}, &Challenge{email, at, home.NewSecret(d.MFAProcessID)}, &home.Error{
		Op: "sign in", Err: home.ErrSecondFactor, Hint: "read the code in the mail, and run: rekeyd login " + email + " --provider tplink --code CODE",
	}
}

// mfaEmail is the kind of code that comes by mail.
const mfaEmail = 2

// Confirm ends a sign-in with the code.
func (c *Cloud) Confirm(ctx context.Context, ch *Challenge, code string) (Entry, error) {
	var in entry
	err := c.call(ctx, ch.url, home.Secret{}, "checkMFACodeAndLogin", map[string]any{
		"appType": appType, "cloudUserName": ch.Email, "code": code, "MFAProcessId": ch.process.Reveal(), "MFAType": mfaEmail,
		"terminalUUID": c.terminal, "terminalBindEnabled": true, "refreshTokenNeeded": true,
	}, &in)
	if err != nil {
		return Entry{}, explain("sign in with the code", err)
	}
	return in.enter(ch.url, ch.Email)
}

// entry is what a sign-in is answered.
type entry struct{ AccountID, Email, Token, RefreshToken string }

func (in entry) enter(at, email string) (Entry, error) {
	if in.Token == "" || len(in.Token) > maxToken || len(in.RefreshToken) > maxToken || !validID(in.AccountID) || in.Email != "" && !strings.EqualFold(in.Email, email) {
		return Entry{}, &home.Error{Op: "sign in", Err: fmt.Errorf("the cloud's answer makes no sense: %w", home.ErrUnavailable)}
	}
	if in.Email != "" {
		email = in.Email
	}
	return Entry{home.AccountID("tplink-" + in.AccountID), email, home.CloudSession{
		URL: at, Token: home.NewSecret(in.Token), Refresh: home.NewSecret(in.RefreshToken),
	}}, nil
}

const maxToken = 4096

// validID takes what can stand in a key of the store.
func validID(id string) bool {
	return id != "" && len(id) <= 64 && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
	})
}

// Renew returns the session with a new token. home.ErrCredential means that the session has ended.
func (c *Cloud) Renew(ctx context.Context, s home.CloudSession) (home.CloudSession, error) {
	if s.Refresh.IsZero() {
		return s, fmt.Errorf("renew the sign-in: %w", home.ErrCredential)
	}
	at, err := c.allowed(s.URL)
	if err != nil {
		return s, err
	}
	var in entry
	err = c.call(ctx, at, home.Secret{}, "refreshToken", map[string]string{"appType": appType, "terminalUUID": c.terminal, "refreshToken": s.Refresh.Reveal()}, &in)
	if err == nil && (in.Token == "" || len(in.Token) > maxToken || len(in.RefreshToken) > maxToken) {
		err = fmt.Errorf("the cloud's answer makes no sense: %w", home.ErrUnavailable)
	}
	if err != nil {
		return s, explain("renew the sign-in", err)
	}
	s.Token = home.NewSecret(in.Token)
	if in.RefreshToken != "" {
		s.Refresh = home.NewSecret(in.RefreshToken)
	}
	return s, nil
}

func (c *Cloud) call(ctx context.Context, at string, token home.Secret, method string, params, result any) error {
	client, err := v1.New(at)
	if err != nil {
		return err
	}
	return client.Call(ctx, token, method, params, result)
}
