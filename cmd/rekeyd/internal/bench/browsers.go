package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/grandcat/zeroconf"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover"
)

// service is the type that all hosts announce.
const service = "_shelly._tcp"

// browsers are what looks. Each looks until ctx ends, and tells the counter of each service whose address and port it knows.
var browsers = []struct {
	name   string
	browse func(ctx context.Context, b *bench, on string, c *counter)
}{
	{"rekeyd", browseOurs},
	{"zeroconf v1.0.0 alone", browseZeroconf},
	{"avahi-browse", browseAvahi},
	{"python-zeroconf", browsePython},
}

func browseOurs(ctx context.Context, b *bench, on string, c *counter) {
	d, err := discover.New(discover.Options{Interfaces: discover.Named(on), Probes: []discover.Probe{}})
	if err != nil {
		b.Fatal(err)
	}
	err = d.Run(ctx, func(batch []home.Sighting) {
		for _, s := range batch {
			if !s.Gone && s.Addr.IsValid() && s.Addr.Port() != 0 {
				c.saw(s.Keys[len(s.Keys)-1])
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
}

func browseZeroconf(ctx context.Context, b *bench, on string, c *counter) {
	i, err := net.InterfaceByName(on)
	if err != nil {
		b.Fatal(err)
	}
	r, err := zeroconf.NewResolver(zeroconf.SelectIfaces([]net.Interface{*i}), zeroconf.SelectIPTraffic(zeroconf.IPv4))
	if err != nil {
		b.Fatal(err)
	}
	entries := make(chan *zeroconf.ServiceEntry, 4096)
	if err := r.Browse(ctx, service, "local.", entries); err != nil {
		b.Fatal(err)
	}
	for e := range entries {
		if len(e.AddrIPv4)+len(e.AddrIPv6) > 0 && e.Port != 0 {
			c.saw(e.Instance)
		}
	}
}

// browseAvahi runs avahi-browse over an avahi-daemon and a D-Bus of its own. Where the hosts are avahi's, it would have to ask that same
// daemon, and nothing would go over the network.
func browseAvahi(ctx context.Context, b *bench, on string, c *counter) {
	if _, err := os.Stat("/etc/avahi/services/0.service"); err == nil {
		b.Skip("avahi-browse asks the avahi-daemon of its own host, so it is not measured where that daemon is what is to be found")
	}
	dir := b.TempDir()
	bus := "unix:path=" + filepath.Join(dir, "bus")
	conf := filepath.Join(dir, "bus.conf")
	write(b, conf, `<busconfig><type>system</type><listen>`+bus+`</listen><auth>EXTERNAL</auth><policy context="default">`+
		`<allow user="*"/><allow own="*"/><allow send_type="*"/><allow receive_type="*"/></policy></busconfig>`)
	begin(b, "D-Bus (Debian: dbus-daemon)", nil, "dbus-daemon", "--nofork", "--config-file="+conf)
	if err := waitFor(ctx, 2*time.Second, "D-Bus", func() bool { _, err := os.Stat(filepath.Join(dir, "bus")); return err == nil }); err != nil {
		b.Fatal(err)
	}
	env := []string{"DBUS_SYSTEM_BUS_ADDRESS=" + bus}
	write(b, filepath.Join(dir, "avahi.conf"), "[server]\nhost-name=browser\nallow-interfaces="+on+"\ncache-entries-max=100000\n[wide-area]\nenable-wide-area=no\n[publish]\ndisable-publishing=yes\n")
	if err := os.MkdirAll("/run/avahi-daemon", 0o755); err != nil {
		b.Fatal(err)
	}
	if err := syscall.Mount("none", "/run/avahi-daemon", "tmpfs", 0, ""); err != nil { // its pid file; this mount namespace is our own
		b.Fatal(err)
	}
	begin(b, "avahi-daemon (Debian: avahi-daemon)", env, "avahi-daemon", "-f", filepath.Join(dir, "avahi.conf"), "--no-drop-root", "--no-chroot", "--no-rlimits")
	time.Sleep(time.Second) // until it is on the bus and has its interfaces
	c.began = time.Now()
	lines(ctx, b, env, "avahi-utils", func(line string) {
		if f := strings.Split(line, ";"); len(f) > 8 && f[0] == "=" && f[7] != "" && f[8] != "0" {
			c.saw(f[3])
		}
	}, "avahi-browse", "--resolve", "--parsable", service)
}

const pythonBrowser = `
import sys, threading, zeroconf as z
zc = z.Zeroconf(interfaces=z.InterfaceChoice.All)
class L(z.ServiceListener):
    def add_service(self, zc, t, name):
        i = zc.get_service_info(t, name)
        if i and i.port and i.parsed_addresses():
            print(name, flush=True)
    def update_service(self, zc, t, name): pass
    def remove_service(self, zc, t, name): pass
z.ServiceBrowser(zc, "_shelly._tcp.local.", L())
threading.Event().wait(3600)
`

// browsePython browses with Debian's python3-zeroconf, and resolves each service as its own documentation does.
func browsePython(ctx context.Context, b *bench, _ string, c *counter) {
	const python = "/usr/bin/python3"
	if exec.Command(python, "-c", "import zeroconf").Run() != nil {
		b.Skip("python-zeroconf is not installed (Debian: python3-zeroconf)")
	}
	c.began = time.Now()
	lines(ctx, b, nil, "python3", c.saw, python, "-c", pythonBrowser)
}

// begin starts a program that runs until b ends.
func begin(b *bench, what string, env []string, name string, args ...string) {
	path, err := lookPath(name)
	if err != nil {
		b.Skipf("%s is not installed", what)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	end, err := startProcess(cmd)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(end)
}

// lookPath also looks where Debian keeps daemons.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	return path, err
}

// lines hands over what a program prints, until ctx ends.
func lines(ctx context.Context, b *bench, env []string, debian string, take func(string), name string, args ...string) {
	path, err := lookPath(name)
	if err != nil {
		b.Skipf("%s is not installed (Debian: %s)", name, debian)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	for s := bufio.NewScanner(out); s.Scan(); {
		take(s.Text())
	}
	if err := cmd.Wait(); ctx.Err() == nil {
		b.Fatal(fmt.Sprintf("%s ended early: %v", name, err))
	}
}

func write(b *bench, name, text string) {
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
}
