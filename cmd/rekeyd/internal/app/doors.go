package app

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Door is one of the client apps that lead to an account.
type Door struct {
	Name    string // in a command line
	AppType string // under which the app signs in
}

// The doors. The app type of tpCamera is this project's own.
var (
	Kasa     = Door{"kasa", "Kasa_Android"}
	TPCamera = Door{"tpcamera", "tpCamera_Android"}
	Web      = Door{"web", "rekeyd_Web"}
)

// Doors returns all doors.
func Doors() []Door { return []Door{Kasa, TPCamera, Web} }

// DoorNamed returns the door with a name.
func DoorNamed(name string) (Door, error) {
	all := Doors()
	i := slices.IndexFunc(all, func(d Door) bool { return d.Name == name })
	if i < 0 {
		return Door{}, errors.New("door " + name + ": want kasa, tpcamera or web")
	}
	return all[i], nil
}

// AccountError adds a hint for the person to an error of the account service.
func AccountError(op string, err error) error {
	e, ok := errors.AsType[*v1.Error](err)
	if !ok {
		return err
	}
	hint := ""
	switch e.Code { // the message of the service names its limits
	case v1.WrongPassword, v1.NotRegistered:
		return &home.Error{
			Op:   op,
			Err:  home.ErrCredential,
			Hint: "check both; if you have forgotten the password: rekeyd forgot EMAIL",
		}
	case v1.Locked:
		hint = "wait, or reset the password now with: rekeyd forgot EMAIL"
	case v1.RateLimit:
		hint = "wait a minute and try again"
	case v1.LinkExpired, v1.CannotReset: // see LinkUsed
		hint = "a link works once and not for long: ask for a new one with: rekeyd forgot EMAIL"
	case v1.BadNewPassword:
		hint = "choose another: letters, digits and signs without spaces, not a common one, and not your e-mail address"
	case account.EmailTaken:
		hint = "sign in with: rekeyd login EMAIL; if you have forgotten the password: rekeyd forgot EMAIL"
	case account.NotActivated:
		hint = "open the link in the mail that came when you registered, or run: rekeyd activate"
	case v1.InvalidEmail:
		hint = "check the e-mail address"
	}
	return &home.Error{Op: op, Err: e, Hint: hint}
}

// LinkUsed reports whether err means that a link from a mail was used or has expired.
func LinkUsed(err error) bool {
	e, ok := errors.AsType[*v1.Error](err)
	return ok && (e.Code == v1.LinkExpired || e.Code == v1.CannotReset)
}

// SplitLink returns the base URL of the service and the token of a link from a mail. The token is in the fragment,
// which browsers do not send.
func SplitLink(link string) (base string, token home.Secret, err error) {
	u, err := url.Parse(link)
	var frag url.Values
	if err == nil {
		frag, err = url.ParseQuery(u.Fragment)
	}
	if err != nil || frag.Get("t") == "" {
		return "", token, errors.New("this is not a link from a mail of the account service")
	}
	// Behind a proxy the service may have a path of its own; the last part of the link's is the page.
	path := u.EscapedPath()
	return u.Scheme + "://" + u.Host + path[:max(0, strings.LastIndex(path, "/"))], home.NewSecret(frag.Get("t")), nil
}
