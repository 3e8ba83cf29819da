package home_test

import (
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestPasswordThatNoDeviceCanHoldIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"new-password": "", "!~": "", strings.Repeat("x", 32): "", strings.Repeat("x", 33): "33 characters", "": "empty",
		"two words": "blank", " x": "blank", "tab\tx": "control", "x\x00": "control", "\ufeffx": "ASCII", "größe": "ASCII",
		"x\xff": "ASCII",
	} {
		err := home.CheckPassword(home.NewSecret(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if err != nil && text != "" && len(text) > 2 && strings.Contains(err.Error(), text) {
			t.Errorf("%q is quoted: %v", text, err)
		}
	}
}
