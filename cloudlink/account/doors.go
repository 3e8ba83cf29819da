package account

import (
	"strings"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
)

// The doors of an account: the client apps that people use.
const (
	DoorKasa     = "kasa"
	DoorTPCamera = "tpcamera"
	DoorWeb      = "web"
)

// DoorOf returns the door of an app, from the name that the app gives itself.
func DoorOf(appType string) string {
	app := strings.ToLower(appType)
	switch {
	case strings.Contains(app, "tpcamera"):
		return DoorTPCamera
	case strings.Contains(app, "kasa"), strings.Contains(app, "tapo"):
		return DoorKasa
	}
	return DoorWeb
}

// IsDoor returns whether s is the name of a door.
func IsDoor(s string) bool { return s == DoorKasa || s == DoorTPCamera || s == DoorWeb }

// Codes of our own, beside the vendor's.
const (
	EmailTaken   v1.Code = -20690 // the address has an account; only where accounts need no activation
	NotActivated v1.Code = -20691 // the password is right, the account is not activated yet
	NotACode     v1.Code = -20692 // the text holds no code of a mail
)

// Refused returns an error with a code of the API. Its text is for people, and adds nothing to the code.
func Refused(code v1.Code, text string) error { return &v1.Error{Code: code, Message: text} }

var (
	errPassword    = Refused(v1.WrongPassword, "Incorrect email or password")
	errTaken       = Refused(EmailTaken, "This email has an account")
	errLinkExpired = Refused(v1.LinkExpired, "This link or code was used, replaced by a newer one, or is too old")
	errNotACode    = Refused(NotACode, "This is no code from a mail: copy the whole link or code")
	errSignedOut   = Refused(v1.TokenExpired, "Token expired")
)

// Normal is the form in which an e-mail address is looked up. Devices hash it as it was typed, so that form is kept
// beside it.
func Normal(email string) string { return strings.ToLower(strings.TrimSpace(email)) }
