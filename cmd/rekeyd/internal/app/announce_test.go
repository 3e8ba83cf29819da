package app

import "testing"

func TestPageIsAnnouncedWhereTheLANReachesIt(t *testing.T) {
	for addr, want := range map[string]uint16{
		"127.0.0.1:7353": 0, "[::1]:7353": 0, "localhost:7353": 0,
		"0.0.0.0:7353": 7353, "[::]:80": 80, ":7353": 7353, "192.0.2.1:81": 81,
	} {
		if port, ok := (&Listener{addr: addr}).onLAN(); ok != (want != 0) || ok && port != want {
			t.Errorf("%s: port %d, %t; want port %d", addr, port, ok, want)
		}
	}
}
