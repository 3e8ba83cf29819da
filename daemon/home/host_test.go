package home_test

import (
	"net/http"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestOwnHostsAreAddressesAndTheNamesOfTheMachine(t *testing.T) {
	names := append(home.MachineNames("Hub.lan"), "account.example")
	for host, want := range map[string]bool{
		"localhost:7354": true, "LocalHost": true, "[::1]:7354": true, "[::1]": true, "192.0.2.1": true,
		"192.0.2.1:7354": true, "hub.local": true, "HUB.local:7354": true, "hub": true, "hub.lan": true,
		"account.example": true, "ACCOUNT.example:443": true,
		"": false, "evil.example": false, "evil.example:7354": false, "localhost.evil.example": false,
		"127.0.0.1.evil.example": false, "account.example.evil.example:443": false, "other.local": false,
		"hub.local.evil.example": false, "lan": false, ".local": false,
	} {
		if got := home.OwnHost(home.HostOf(&http.Request{Host: host}), names...); got != want {
			t.Errorf("%q: %t, want %t", host, got, want)
		}
	}
	if got := home.MachineNames(""); len(got) > 0 {
		t.Errorf("a machine without a name has the names %q", got)
	}
	if home.OwnHost("", home.MachineNames("")...) {
		t.Error("an empty host is the machine's own")
	}
}
