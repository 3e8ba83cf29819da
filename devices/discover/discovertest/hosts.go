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
	"time"

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
	mount(t, dir, "/etc/avahi/services")
	startAvahi(t, daemon, "[server]\nhost-name=avahihost\nallow-interfaces="+on+"\nenable-dbus=no\n"+
		"[wide-area]\nenable-wide-area=no\n[publish]\npublish-workstation=no\n")
}

// startAvahi runs an avahi-daemon with this configuration. Its pid file is in a folder of its own.
func startAvahi(t testing.TB, daemon, conf string) {
	t.Helper()
	run := t.TempDir()
	path := filepath.Join(run, "avahi.conf")
	write(t, path, conf)
	if err := os.MkdirAll("/run/avahi-daemon", 0o755); err != nil {
		t.Fatal(err)
	}
	mount(t, run, "/run/avahi-daemon")
	start(t, exec.Command(daemon, "-f", path, "--no-drop-root", "--no-chroot", "--no-rlimits"))
}

// AvahiOnBus runs an avahi-daemon that publishes nothing, on a D-Bus of its own, and returns when avahi-browse can ask
// it. It needs a namespace of its own.
func AvahiOnBus(t testing.TB, on string) {
	t.Helper()
	for _, program := range []string{"dbus-daemon", "avahi-daemon", "avahi-browse"} {
		if _, err := exec.LookPath(program); err != nil {
			nettest.Missing(t, "%v (Debian: dbus, avahi-daemon, avahi-utils)", err)
		}
	}
	dir, err := os.MkdirTemp("", "bus-") // t.TempDir may hold a "=", which an address of D-Bus may not
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	bus := "unix:path=" + filepath.Join(dir, "bus")
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", bus)
	write(t, filepath.Join(dir, "bus.conf"), `<busconfig><type>system</type><listen>`+bus+`</listen>
		<auth>EXTERNAL</auth><policy context="default"><allow user="*"/><allow own="*"/><allow send_type="*"/>
		<allow receive_type="*"/></policy></busconfig>`)
	start(t, exec.Command("dbus-daemon", "--nofork", "--config-file="+filepath.Join(dir, "bus.conf")))
	await(t, "D-Bus", func() bool { _, err := os.Stat(filepath.Join(dir, "bus")); return err == nil })
	startAvahi(t, "avahi-daemon", "[server]\nhost-name=browser\nallow-interfaces="+on+"\ncache-entries-max=100000\n"+
		"[wide-area]\nenable-wide-area=no\n[publish]\ndisable-publishing=yes\n")
	await(t, "avahi-daemon", func() bool { return exec.Command("avahi-browse", "--all", "--terminate").Run() == nil })
}

// await waits until a program is ready.
func await(t testing.TB, name string, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ready(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s is not ready within a minute", name)
		}
	}
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

// start runs a program until the test ends. It dies with the test's process, and its output is logged when the test
// fails.
func start(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s printed:\n%s", cmd.Path, output.String())
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
