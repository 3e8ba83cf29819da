package discovertest

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// Avahi runs Debian's avahi-daemon with n services (shellyplug-…, _shelly._tcp) on the interface of this name until
// the test ends. It needs a namespace of its own, which it has after nettest.InNamespace, and skips the test where
// avahi is missing.
func Avahi(t testing.TB, on string, n int) {
	t.Helper()
	daemon, err := exec.LookPath("avahi-daemon")
	if err != nil {
		nettest.Missing(t, "avahi-daemon is missing (Debian: avahi-daemon)")
	}
	dir := t.TempDir()
	for i, s := range Many(n, netip.MustParseAddr("10.0.0.0")) {
		text := fmt.Sprintf(`<?xml version="1.0" standalone="no"?><!DOCTYPE service-group SYSTEM "avahi-service.dtd">
<service-group><name>%s</name><service><type>%s</type><port>%d</port><txt-record>gen=2</txt-record></service>
</service-group>`, s.Instance, s.Type, 1000+i)
		write(t, filepath.Join(dir, fmt.Sprintf("%d.service", i)), text)
	}
	run := t.TempDir()
	conf := filepath.Join(run, "avahi.conf")
	write(
		t, conf,
		"[server]\nhost-name=avahihost\nallow-interfaces="+on+"\nenable-dbus=no\n"+
			"[wide-area]\nenable-wide-area=no\n[publish]\npublish-workstation=no\n",
	)
	if err := os.MkdirAll("/run/avahi-daemon", 0o755); err != nil {
		t.Fatal(err)
	}
	mount(t, dir, "/etc/avahi/services")
	mount(t, run, "/run/avahi-daemon") // its pid file
	start(t, exec.Command(daemon, "-f", conf, "--no-drop-root", "--no-chroot", "--no-rlimits"))
}

// PythonZeroconf runs a host of Debian's python3-zeroconf with n services at addr until the test ends.
func PythonZeroconf(t testing.TB, addr netip.Addr, n int) {
	t.Helper()
	const python = "/usr/bin/python3"
	if out, err := exec.Command(python, "-c", "import zeroconf").CombinedOutput(); err != nil {
		nettest.Missing(t, "python3-zeroconf is missing (Debian: python3-zeroconf): %v %s", err, out)
	}
	const script = `
import socket, sys, time, zeroconf as z
addr, n = sys.argv[1], int(sys.argv[2])
host = z.Zeroconf(interfaces=[addr])
for i in range(n):
    name = "shellyplug-%012x._shelly._tcp.local." % (0x020000000000 + i)
    host.register_service(z.ServiceInfo("_shelly._tcp.local.", name, port=1000 + i, addresses=[socket.inet_aton(addr)],
        properties={"gen": "2"}, server="python-host.local."), cooperating_responders=True)
time.sleep(3600)
`
	start(t, exec.Command(python, "-c", script, addr.String(), fmt.Sprint(n)))
}

func start(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", cmd.Path, said.String())
		}
	})
}

func mount(t testing.TB, from, to string) {
	t.Helper()
	if err := syscall.Mount(from, to, "", syscall.MS_BIND, ""); err != nil {
		t.Fatalf("mount %s: %v", to, err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(to, syscall.MNT_DETACH) })
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
