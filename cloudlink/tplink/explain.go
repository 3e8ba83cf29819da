package tplink

import (
	"errors"
	"fmt"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Again is what the owner does after a reset.
const Again = "run: rekeyd login EMAIL --provider tplink"

// hints say what a person can do about what the cloud answers.
var hints = map[v1.Code]string{
	v1.WrongPassword:   "check both; if you have forgotten the password, reset it in the Kasa or tpCamera app and " + Again,
	v1.NotRegistered:   "check the e-mail address: the one with which you sign in to the Kasa or tpCamera app",
	v1.InvalidEmail:    "check the e-mail address",
	v1.TokenExpired:    Again,
	v1.RefreshExpired:  Again,
	v1.SignedElsewhere: Again,
	v1.Locked:          "wait two hours, or reset the password in the Kasa or tpCamera app",
	v1.CodesLocked:     "wait a day: too many codes were asked for",
	v1.RateLimit:       "wait some minutes and try again",
	v1.SecondFactor:    "switch two-step verification off in the app for as long as this takes: this cloud sends no code by mail",
	v1.AppTooOld:       "switch two-step verification off in the app for as long as this takes: with it the cloud takes the vendor's own apps only",
	v1.BadRegion:       "name the account's region with --cloud-url",
}

// explain turns what the cloud answered into what the program and the person do next. Messages of the cloud are shown, and never compared.
func explain(op string, err error) error {
	e, ok := errors.AsType[*v1.Error](err)
	switch {
	case ok && e.Code == v1.WrongPassword:
		return &home.Error{Op: op, Err: home.ErrCredential, Hint: hints[e.Code]}
	case ok && (e.Code == v1.TokenExpired || e.Code == v1.RefreshExpired):
		return &home.Error{Op: op, Err: fmt.Errorf("the cloud has ended this hub's sign-in: %w", home.ErrCredential), Hint: hints[e.Code]}
	case ok:
		return &home.Error{Op: op, Err: e, Hint: hints[e.Code]}
	}
	if he, is := errors.AsType[*home.Error](err); is && errors.Is(err, home.ErrUnavailable) {
		return &home.Error{Op: op, Err: fmt.Errorf("the cloud does not answer: %w", he.Err), Hint: "see that this hub reaches the internet, or say where the cloud is with --cloud-url"}
	}
	return &home.Error{Op: op, Err: err}
}
