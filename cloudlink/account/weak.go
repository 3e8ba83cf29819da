package account

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
)

// Weak is the reason why a new password is refused.
type Weak string

// A password needs no mixture of characters: devices must be able to hold it, and it must not be a common one.
const (
	WeakLength Weak = "length" // or characters that a device cannot hold
	WeakCommon Weak = "common" // one of those that are tried first
	WeakEmail  Weak = "email"  // made of the e-mail address
	WeakSame   Weak = "same"   // as the old one
)

// weakPassword is a v1.Error with the reason.
type weakPassword struct {
	answer error
	why    Weak
}

func (w *weakPassword) Error() string { return w.answer.Error() }

func (w *weakPassword) Unwrap() error { return w.answer }

// Weakness returns why a new password was refused; empty for another error.
func Weakness(err error) Weak {
	if w, ok := errors.AsType[*weakPassword](err); ok {
		return w.why
	}
	return ""
}

// weak is the answer to a new password that is refused.
func (s *Service) weak(why Weak) error {
	text := ""
	switch why {
	case WeakLength:
		text = fmt.Sprintf("the password must have %d to %d characters: letters, digits and signs of ASCII, no spaces. "+
			"The devices can hold no others", s.o.Policy.PasswordMin, MaxPassword)
	case WeakCommon:
		text = "this password is one of those that are tried first: choose another"
	case WeakEmail:
		text = "the password must not be made of the e-mail address"
	case WeakSame:
		text = "the new password is the old one"
	}
	return &weakPassword{Refused(v1.BadNewPassword, text), why}
}

// checkPassword returns what is wrong with a new password; empty when nothing is.
func (p Policy) checkPassword(password, email string) Weak {
	if len(password) < p.PasswordMin || len(password) > MaxPassword ||
		strings.ContainsFunc(password, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return WeakLength
	}
	low := strings.ToLower(password)
	if IsCommon(low) {
		return WeakCommon
	}
	rest := low
	between := func(r rune) bool { return strings.ContainsRune("@.+-_", r) }
	for _, word := range strings.FieldsFunc(strings.ToLower(email), between) {
		if len(word) >= 3 {
			rest = strings.ReplaceAll(rest, word, "")
		}
	}
	if len(rest)*2 < len(low) {
		return WeakEmail
	}
	return ""
}

// IsCommon returns whether a password, in lower case, is at the top of every list of common ones: one piece repeated, a
// run of the keyboard or the alphabet, a common word followed by digits.
func IsCommon(low string) bool {
	for n := 1; n <= len(low)/3; n++ {
		if strings.HasPrefix(strings.Repeat(low[:n], len(low)/n+1), low) {
			return true
		}
	}
	for _, run := range [...]string{
		"abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm", "1234567890123456789012345678901234567890",
		"0987654321098765432109876543210",
		"1qaz2wsx3edc4rfv5tgb6yhn7ujm", "q1w2e3r4t5y6u7i8o9p0", "1q2w3e4r5t6y7u8i9o0p", "qwerty123456789",
		"qwertyuiop1234567890",
	} {
		if strings.HasPrefix(run, low) || strings.Contains(run, low) && len(low) >= 6 {
			return true
		}
	}
	word := strings.TrimRight(low, "0123456789!.?*#$@")
	for _, common := range [...]string{
		"password", "passw0rd", "p@ssword", "p@ssw0rd", "passwordpassword", "qwerty", "qwertyuiop", "letmein", "welcome",
		"admin", "administrator",
		"iloveyou", "changeme", "tplink", "tp-link", "tapo", "kasa", "tpcamera", "camera", "monkey", "dragon", "football",
		"baseball", "sunshine",
		"princess", "superman", "master", "login", "secret", "default", "abc", "qazwsx", "asdfgh", "zxcvbnm", "",
	} {
		if word == common {
			return true
		}
	}
	return false
}
