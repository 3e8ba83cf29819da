package nettest_test

import (
	"fmt"
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
		t.Errorf("received %q, %v", b[:n], err)
	}
}

func TestWhatIsMissingIsAFailureInCI(t *testing.T) {
	for ci, want := range map[string]string{"": "skipped", "1": "failed"} {
		t.Setenv("CI", ci)
		r := &recorder{TB: t}
		nettest.Missing(r, "no %s", "mosquitto")
		if r.got != want+": no mosquitto" {
			t.Errorf("with CI=%q the test %s", ci, r.got)
		}
	}
}

// recorder records how a test would end.
type recorder struct {
	testing.TB
	got string
}

func (r *recorder) Helper()                        {}
func (r *recorder) Fatalf(format string, a ...any) { r.record("failed: "+format, a) }
func (r *recorder) Skipf(format string, a ...any)  { r.record("skipped: "+format, a) }
func (r *recorder) record(format string, a []any) {
	if r.got == "" {
		r.got = fmt.Sprintf(format, a...)
	}
}

func TestSubtestRunsAlone(t *testing.T) {
	t.Run("with a space", func(t *testing.T) { nettest.InNamespace(t) })
	t.Run("other", func(t *testing.T) {
		if nettest.InNamespace(t) {
			t.Log("it ran alone")
		}
	})
}
