package home_test

import (
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// TestWhatADeviceClaimsOfItsOwner has the known values of devices/PROTOCOLS.md, section 6.3.
func TestWhatADeviceClaimsOfItsOwner(t *testing.T) {
	const test, kasa = "720edb77e1947f066e78e008aa59c5b3", "994661e5222b8e5e3e1d90e73a322315"
	for _, c := range []struct {
		owner, email string
		want         home.Match
	}{
		{test, "test@tp-link.net", home.Ours},
		{kasa, "kasa@tp-link.net", home.Ours},
		{kasa, "Kasa@TP-Link.net", home.Ours}, // it was set up in lower case
		{home.OwnerOf("Kasa@TP-Link.net"), "Kasa@TP-Link.net", home.Ours},
		{home.OwnerOf("Kasa@TP-Link.net"), "kasa@tp-link.net", home.Foreign}, // its case cannot be guessed
		{test, "kasa@tp-link.net", home.Foreign},
		{home.NoOwner, "kasa@tp-link.net", home.Unbound},
		{"", "kasa@tp-link.net", home.Unknown},
		{test, "", home.Unknown},
	} {
		if got := (home.Device{Owner: c.owner}).Claims(c.email); got != c.want {
			t.Errorf("owner %q, account %q: %s, want %s", c.owner, c.email, got, c.want)
		}
	}
}
