package discover

import (
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Kasa devices answer the probe of port 9999 (kasa.go), native ones announce themselves (describe.go), NC cameras are
// asked over HTTP (cameras.go). All others are classes.
func TestEveryProtocolIsRecognised(t *testing.T) {
	known := map[home.Protocol]bool{home.IOT: true, home.Native: true, home.NC: true}
	for _, c := range classes {
		known[c.protocol] = true
	}
	for _, row := range home.Protocols() {
		if !known[row.Name] {
			t.Errorf("no device is recognised as one of %q: add a rule in devices/discover/classify.go", row.Name)
		}
	}
}
