package kasacam

import "github.com/rekeyd/rekeyd/daemon/home"

// Opened is what a camera says in an answer.
func Opened(answer []byte) []byte { return open(answer) }

// Stated reads what a camera says of itself.
func Stated(raw []byte, email string) (home.Match, home.Device, bool) {
	s, err := parseStatement(raw)
	return s.whose(email), s.describe(home.Device{}), err == nil
}
