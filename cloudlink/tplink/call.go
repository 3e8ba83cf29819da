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

// region asks in which region the account is. A cloud that does not say is taken to be in the region itself.
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

// call calls a method, once more in another region where the cloud says that the account is there. It returns where
// it was at last.
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

// private tells that nobody on the way hears what is sent there.
func private(base string) bool {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// sibling returns where a cloud sends its client, if that is the cloud's own: the password goes there. It has to have
// the same scheme, and the same host, or one of the same domain.
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

// said turns what the cloud answered into an error for a person.
func said(op string, err error) error {
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
	return &home.Error{Op: op, Err: &v1.Error{Code: e.Code}, Hint: hint} // its words may repeat what it was told
}
