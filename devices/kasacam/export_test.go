package kasacam

import "github.com/rekeyd/rekeyd/daemon/home"

// Open returns the text of an answer.
func Open(answer []byte) []byte { return open(answer) }

// ParseIdentity reads the answer of a camera: the owner that it states, and the device.
func ParseIdentity(raw []byte, email string) (home.Match, home.Device, bool) {
	id, err := parseIdentity(raw)
	return id.owner(email), id.Describe(home.Device{}), err == nil
}
