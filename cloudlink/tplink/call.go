package tplink

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// region asks in which region the account is. Without an answer, the region of base is used.
func region(ctx context.Context, base, email string) (string, error) {
	client, err := v1.New(base)
	if err != nil {
		return "", err
	}
	var got struct {
		URL string `json:"appServerUrl"`
	}
	params := map[string]string{"appType": appType, "cloudUserName": email}
	err = client.Call(ctx, home.Secret{}, "getAccountStatusAndUrl", params, &got)
	if _, refused := errors.AsType[*v1.Error](err); err != nil && !refused {
		return "", err
	}
	if to, ok := sibling(base, got.URL); ok {
		return to, nil
	}
	return base, nil
}

// call calls a method, and a second time in another region where the cloud names that as the account's. It returns
// the URL of the last call.
func call(ctx context.Context, base string, token home.Secret, method string, params, result any) (string, error) {
	client, err := v1.New(base)
	if err != nil {
		return base, err
	}
	err = client.Call(ctx, token, method, params, result)
	e, ok := errors.AsType[*v1.Error](err)
	if !ok || e.Code != v1.WrongRegion {
		return base, err
	}
	var of struct {
		URL string `json:"appServerUrl"`
	}
	to := ""
	if json.Unmarshal(e.Result, &of) == nil {
		to, ok = sibling(base, of.URL)
	}
	if to == "" || !ok || to == base {
		return base, err
	}
	if client, err = v1.New(to); err != nil {
		return base, err
	}
	return to, client.Call(ctx, token, method, params, result)
}

// confidential returns whether requests to base can be read by no other machine: over TLS, or on this machine.
func confidential(base string) bool {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// sibling returns the URL to which a cloud redirects its client. ok is false unless it has the same scheme, and the
// same host or domain: the password is sent there.
func sibling(base, to string) (string, bool) {
	b, err1 := url.Parse(base)
	t, err2 := url.Parse(to)
	if err1 != nil || err2 != nil || t.Host == "" || t.Scheme != b.Scheme || t.User != nil {
		return "", false
	}
	own, other := strings.ToLower(b.Hostname()), strings.ToLower(t.Hostname())
	same := own == other
	if net.ParseIP(own) == nil {
		if labels := strings.Split(own, "."); len(labels) > 2 {
			same = same || strings.HasSuffix(other, "."+strings.Join(labels[len(labels)-2:], "."))
		}
	}
	return strings.TrimSuffix(to, "/"), same
}

// ownerError maps a refusal of the cloud to an error with a hint for the owner.
func ownerError(op string, err error) error {
	e, ok := errors.AsType[*v1.Error](err)
	if he, isHome := errors.AsType[*home.Error](err); !ok && isHome && errors.Is(err, home.ErrUnavailable) {
		return &home.Error{
			Op: op, Err: he.Err, Hint: "check this machine's connection to the internet, and run the command again",
		}
	}
	if !ok {
		return err
	}
	hint := ""
	switch e.Code {
	case v1.WrongPassword, v1.NotRegistered:
		return &home.Error{
			Op: op, Err: home.ErrCredential,
			Hint: "check both; the password is that of the Kasa or Tapo app. Nothing is tried again by itself: " +
				"20 wrong ones lock the account for two hours",
		}
	case v1.Locked:
		hint = "wait two hours, or reset the password in the Kasa or Tapo app"
	case v1.CodesLocked:
		hint = "wait a day: too many codes were wrong"
	case v1.RateLimit, v1.Busy, v1.TimedOut:
		hint = "wait some minutes, and sign in again"
	case v1.TooOld:
		hint = "turn two-step verification off in the app, or change the passwords of the devices in the app: " +
			"the cloud lets no other program in with it on"
	case v1.SecondFactor:
		hint = "sign in again; a code is sent by e-mail"
	case v1.WrongRegion:
		hint = "name the cloud of your region, with --account-url"
	}
	return &home.Error{Op: op, Err: &v1.Error{Code: e.Code}, Hint: hint} // its own text may repeat the password
}
