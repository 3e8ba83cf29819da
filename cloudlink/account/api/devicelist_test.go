package api

import (
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestEveryProtocolHasItsDeviceTypes(t *testing.T) {
	known := map[home.Protocol]bool{}
	for _, p := range home.Protocols() {
		known[p.Name] = true
		if _, ok := typesOf[p.Name]; !ok {
			t.Errorf("getDeviceList has no device types for protocol %s", p.Name)
		}
	}
	for p := range typesOf {
		if !known[p] {
			t.Errorf("getDeviceList has device types for %s, which is no protocol", p)
		}
	}
}
