package nettest_test

import (
	"net"
	"testing"

	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

func TestNamespaceHasNothingButLoopback(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			t.Errorf("interface %s is up in a fresh namespace", i.Name)
		}
	}
	lo := nettest.Loopback(t)
	if want := net.FlagUp | net.FlagMulticast; lo.Flags&want != want {
		t.Errorf("loopback is %v, want up and multicast", lo.Flags)
	}
}

func TestLinkCarriesMulticastToItself(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	home := nettest.Link(t, "home0", "10.9.0.1/24", "fd00:9::1/64")
	group := &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}
	in, err := net.ListenMulticastUDP("udp4", &home, group)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 9, 0, 1)}, group)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := out.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	if n, err := in.Read(b); err != nil || string(b[:n]) != "hello" {
		t.Errorf("heard %q, %v", b[:n], err)
	}
}

func TestSubtestRunsAlone(t *testing.T) {
	t.Run("with a space", func(t *testing.T) { nettest.InNamespace(t) })
	t.Run("other", func(t *testing.T) {
		if nettest.InNamespace(t) {
			t.Skip("shown as skipped outside")
		}
	})
}
