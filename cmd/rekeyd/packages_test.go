//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// buildPackages makes packages of the targets as `make packages` does, and returns their folder.
func buildPackages(t *testing.T, version string, targets ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "packages")
	cmd := exec.Command("./packaging/build", targets...)
	cmd.Env = append(os.Environ(), "VERSION="+version, "OUT="+out, "SOURCE_DATE_EPOCH=1767225600")
	if raw, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, raw)
	}
	return out
}

// TestPackagesAreReproducibleAndSmall builds a Debian and an OpenWrt package and archive twice.
func TestPackagesAreReproducibleAndSmall(t *testing.T) {
	one, two := buildPackages(t, "1.2.3", "amd64", "mips"), buildPackages(t, "1.2.3", "amd64", "mips")
	files, err := os.ReadDir(one)
	ok(t, err)
	names := map[string]bool{}
	for _, f := range files {
		names[f.Name()] = true
		a, err := os.ReadFile(filepath.Join(one, f.Name()))
		ok(t, err)
		b, err := os.ReadFile(filepath.Join(two, f.Name()))
		ok(t, err)
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs between two builds", f.Name())
		}
		if strings.HasSuffix(f.Name(), ".ipk") && len(a) > 5_000_000 {
			t.Errorf("%s has %d bytes", f.Name(), len(a))
		}
	}
	for _, want := range []string{
		"rekeyd_1.2.3_amd64.deb", "rekeyd_1.2.3_mips_24kc.ipk", "rekeyd-1.2.3-linux-amd64.tar.gz", "SHA256SUMS",
		"Containerfile",
	} {
		if !names[want] {
			t.Errorf("no %s in %v", want, names)
		}
	}
	sums := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	sums.Dir = one
	if raw, err := sums.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, raw)
	}
	// An ipk is a tar of tars (OpenWrt's opkg).
	list, err := exec.Command("sh", "-c", "tar -xzOf "+filepath.Join(one, "rekeyd_1.2.3_mips_24kc.ipk")+
		" ./data.tar.gz | tar -tz").CombinedOutput()
	ok(t, err)
	for _, want := range []string{"/usr/bin/rekeyd\n", "/etc/init.d/rekeyd\n", "/lib/upgrade/keep.d/rekeyd\n"} {
		if !strings.Contains(string(list), want) {
			t.Errorf("no %q in the ipk:\n%s", want, list)
		}
	}
}

func TestShellsFindNoFaultInTheScriptsOfPackages(t *testing.T) {
	if _, err := exec.LookPath("shellcheck"); err != nil {
		nettest.Missing(t, "shellcheck is missing")
	}
	for _, name := range []string{"build", "postinst", "prerm", "postrm", "openwrt-postinst", "openwrt-prerm"} {
		out, err := exec.Command("shellcheck", "--severity=warning", filepath.Join("packaging", name)).CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// debian is a copy of this machine's files in which packages are installed: changes are in memory, and gone with the
// test.
type debian struct {
	t    *testing.T
	root string
}

func newDebian(t *testing.T) *debian {
	t.Helper()
	mem := t.TempDir()
	d := &debian{t, filepath.Join(mem, "root")}
	for _, args := range [][]string{
		{"mount", "-t", "tmpfs", "none", mem},
		{"mkdir", filepath.Join(mem, "upper"), filepath.Join(mem, "work"), d.root},
		{"mount", "-t", "overlay", "none", "-o", fmt.Sprintf("lowerdir=/,upperdir=%s/upper,workdir=%[1]s/work", mem), d.root},
		{"mount", "--rbind", "/proc", d.root + "/proc"},
		{"mount", "--rbind", "/dev", d.root + "/dev"},
	} {
		if raw, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			nettest.Missing(t, "%v: %v\n%s", args, err, raw)
		}
	}
	t.Cleanup(func() { _ = syscall.Unmount(mem, syscall.MNT_DETACH) })
	return d
}

// run runs a command in there, and returns its output.
func (d *debian) run(args ...string) string {
	d.t.Helper()
	cmd := exec.Command("chroot", append([]string{d.root}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "HOME=/root"}
	raw, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("%v: %v\n%s", args, err, raw)
	}
	return string(raw)
}

func (d *debian) install(deb string) {
	d.t.Helper()
	raw, err := os.ReadFile(deb)
	ok(d.t, err)
	ok(d.t, os.WriteFile(filepath.Join(d.root, "rekeyd.deb"), raw, 0o600))
	d.run("dpkg", "--install", "/rekeyd.deb")
}

// daemon runs what the installed unit starts, as its user, and returns the hub's name. systemd makes the folders and
// the credential; here the test does.
func (d *debian) daemon() (hub string) {
	d.t.Helper()
	unit, err := os.ReadFile(filepath.Join(d.root, "usr/lib/systemd/system/rekeyd.service"))
	ok(d.t, err)
	_, rest, _ := strings.Cut(string(unit), "\nExecStart=")
	line, _, _ := strings.Cut(rest, "\n")
	d.run("sh", "-c", "mkdir -p -m 0700 /var/lib/rekeyd /credentials && cp /etc/rekeyd/rekeyd-vault /credentials/ && "+
		"chown -R rekeyd:rekeyd /var/lib/rekeyd /credentials")
	args := append([]string{"--userspec=rekeyd:rekeyd", d.root}, strings.Fields(line)...)
	cmd := exec.Command("chroot", append(args, "--interface", "lo")...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "STATE_DIRECTORY=/var/lib/rekeyd", "CREDENTIALS_DIRECTORY=/credentials"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log bytes.Buffer
	cmd.Stderr = &log
	ok(d.t, cmd.Start())
	status := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		raw, err := exec.Command("chroot", d.root, "/usr/bin/rekeyd", "--state", "/var/lib/rekeyd", "status").CombinedOutput()
		if status = string(raw); err == nil && strings.Contains(status, "Hub hub-") {
			break
		}
	}
	ok(d.t, cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil {
		d.t.Fatalf("%v; log:\n%s", err, log.String())
	}
	_, rest, _ = strings.Cut(status, "Hub ")
	hub, _, _ = strings.Cut(rest, ",")
	if hub == "" {
		d.t.Fatalf("status:\n%s\nlog:\n%s", status, log.String())
	}
	return hub
}

// TestTheDebianPackageIsInstalledUpgradedAndPurged goes through the life of a package with dpkg. An upgrade and a
// removal keep the state; a purge deletes it.
func TestTheDebianPackageIsInstalledUpgradedAndPurged(t *testing.T) {
	if _, err := exec.LookPath("dpkg"); err != nil {
		nettest.Missing(t, "dpkg is missing")
	}
	if !nettest.InNamespace(t) {
		return
	}
	older, newer := buildPackages(t, "1.2.3", "amd64"), buildPackages(t, "1.2.4", "amd64")
	d := newDebian(t)
	d.install(filepath.Join(older, "rekeyd_1.2.3_amd64.deb"))
	exists := func(path string) bool {
		_, err := os.Lstat(filepath.Join(d.root, path))
		return err == nil
	}
	for _, path := range []string{
		"etc/systemd/system/multi-user.target.wants/rekeyd.service", "usr/share/bash-completion/completions/rekeyd",
		"usr/share/man/man1/rekeyd.1.gz", "usr/share/man/man1/rekeyd-bind.1.gz", "etc/rekeyd/rekeyd-vault",
	} {
		if !exists(path) {
			t.Errorf("installed without %s", path)
		}
	}
	if got := d.run("/usr/bin/rekeyd", "version"); got != "rekeyd 1.2.3\n" {
		t.Errorf("version %q", got)
	}
	verify := exec.Command("systemd-analyze", "--root="+d.root, "verify", "rekeyd.service")
	if raw, err := verify.CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze: %v\n%s", err, raw)
	}
	d.run("id", "rekeyd")
	key := d.run("sha256sum", "/etc/rekeyd/rekeyd-vault")
	hub := d.daemon()

	d.install(filepath.Join(newer, "rekeyd_1.2.4_amd64.deb"))
	if got := d.run("/usr/bin/rekeyd", "version"); got != "rekeyd 1.2.4\n" {
		t.Errorf("version %q", got)
	}
	if got := d.daemon(); got != hub {
		t.Errorf("after the upgrade the hub is %s, was %s", got, hub)
	}

	d.run("dpkg", "--remove", "rekeyd")
	if exists("usr/bin/rekeyd") || exists("etc/systemd/system/multi-user.target.wants/rekeyd.service") {
		t.Error("removed, and still there")
	}
	if !exists("var/lib/rekeyd") || d.run("sha256sum", "/etc/rekeyd/rekeyd-vault") != key {
		t.Error("removed with its state")
	}
	d.run("dpkg", "--purge", "rekeyd")
	if exists("var/lib/rekeyd") || exists("etc/rekeyd") {
		t.Error("purged, and its state is still there")
	}
}
