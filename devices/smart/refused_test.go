package smart_test

import (
	"testing"

	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/smart"
)

func TestARefusedCredentialIsNotTriedAgainAfterARestart(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	s := play(t, older(email, "unknown"))[0]
	disk := &keyring.Transient{}
	var first int
	for life := range 3 {
		d, err := smart.NewAES(smart.AESOptions{Budget: purse(100), Memory: disk, Wrong: 100})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Probe(t.Context(), seen(s), agreedBoth); err != nil {
			t.Fatal(err)
		}
		wrong, _ := s.SignIns()
		if life == 0 {
			first = wrong
		}
		if wrong != first || wrong == 0 {
			t.Errorf("%d wrong sign-ins after %d restarts, %d before", wrong, life, first)
		}
	}
}
