package home

import (
	"errors"
	"fmt"
)

// LongestPassword is how many characters the account's rule allows, and devices of the family can hold
// (devices/PROTOCOLS.md, section 2.3).
const LongestPassword = 32

// CheckPassword returns what keeps the devices from holding a password; nil where nothing does. It does not quote the
// password.
func CheckPassword(p Secret) error {
	text := p.Reveal()
	if text == "" {
		return errors.New("it is empty")
	}
	for _, r := range text {
		switch {
		case r == ' ':
			return errors.New("it contains a blank, and devices hold none")
		case r < ' ' || r == 0x7f:
			return errors.New("it contains a control character, and devices hold none")
		case r > '~':
			return errors.New("it contains a character other than letters, digits and signs of ASCII, and devices hold none")
		}
	}
	if len(text) > LongestPassword {
		return fmt.Errorf("it has %d characters, and devices hold at most %d", len(text), LongestPassword)
	}
	return nil
}
