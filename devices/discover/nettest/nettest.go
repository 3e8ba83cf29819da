// Package nettest gives a test a network of its own: its multicast reaches no other process, and that of others does
// not reach the test. Only tests and benchmarks import it.
package nettest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inside names the test that a re-executed test binary runs in its own namespace.
const inside = "REKEYD_NETTEST"

// InNamespace runs the calling test in a network namespace of its own: it starts the test binary again, for this test
// only, in a fresh namespace whose loopback interface is up and takes multicast. It returns true there, and false in
// the caller, where the test must return at once: all of its outcome (log, failure, skip) is already reported.
//
//	if !nettest.InNamespace(t) {
//		return
//	}
//
// Where namespaces cannot be made (not on Linux, not root, no iproute2) the test is skipped, or fails in CI. A mount
// namespace comes with it, so a test may mount over a folder that a daemon has compiled in.
func InNamespace(t testing.TB) bool {
	t.Helper()
	if os.Getenv(inside) == t.Name() {
		return true
	}
	if os.Geteuid() != 0 {
		Missing(t, "not root: a network namespace cannot be made")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		Missing(t, "iproute2 is missing: a network namespace cannot be set up (Debian: iproute2)")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-test.run=" + pattern(t.Name()), "-test.count=1", "-test.v"}
	b, isBench := t.(*testing.B)
	if isBench {
		args = []string{"-test.run=^$", "-test.bench=" + pattern(t.Name()), "-test.benchtime=1x", "-test.v"}
	}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	// The shell brings the network up before the first thread of the test looks at it.
	up := "mount --make-rprivate / && ip link set lo up multicast on && ip route add 224.0.0.0/4 dev lo && " +
		"exec \"$0\" \"$@\""
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", up, self}, args...)...)
	// Without GORACE the race detector waits a second at the end of every test.
	cmd.Env = append(os.Environ(), inside+"="+t.Name(), "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && bytes.Contains(out, []byte("not permitted")):
		Missing(t, "namespaces are not permitted here: %v\n%s", err, out)
	case err != nil:
		t.Fatalf("in its namespace: %v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP: "+t.Name()+" ")):
		Missing(t, "in its namespace:\n%s", out)
	case isBench:
		reportMetrics(b, string(out))
	case !bytes.Contains(out, []byte("--- PASS: "+t.Name()+" ")):
		t.Fatalf("did not run in its namespace:\n%s", out)
	}
	if !isBench {
		t.Logf("in its namespace:\n%s", out)
	}
	return false
}

// reportMetrics reports for b the figures that b printed in its namespace: "BenchmarkX-2  1  123 ns/op  4 found".
func reportMetrics(b *testing.B, out string) {
	b.Helper()
	line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(b.Name()) + `(?:-\d+)?\s+1\s+(.*)$`).FindStringSubmatch(out)
	if line == nil {
		b.Fatalf("no result from its namespace:\n%s", out)
	}
	fields := strings.Fields(line[1])
	for i := 0; i+1 < len(fields); i += 2 {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			b.Fatalf("result %q: %v", line[1], err)
		}
		b.ReportMetric(v, fields[i+1])
	}
}

// Missing skips the test because something is missing on this machine. In CI, where the variable CI is set, everything
// must be there, and the test fails.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func pattern(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// Loopback returns the loopback interface.
func Loopback(t testing.TB) net.Interface {
	t.Helper()
	return byName(t, "lo")
}

// Link makes an Ethernet interface that takes multicast, up, with the addresses given ("10.9.0.1/24"). What is sent on
// it reaches this namespace only. Only for a test that is InNamespace.
func Link(t testing.TB, name string, addrs ...string) net.Interface {
	t.Helper()
	run(t, "ip", "link", "add", name, "type", "veth", "peer", "name", name+"p")
	run(t, "ip", "link", "set", name+"p", "up")
	run(t, "ip", "link", "set", name, "multicast", "on", "up")
	for _, a := range addrs {
		Address(t, name, a)
	}
	return byName(t, name)
}

// Neighbour makes a second network namespace, joined to this one by an Ethernet interface with an address at each end
// ("10.9.0.1/24"). A command that begins with enter runs there. Only for a test that is InNamespace.
func Neighbour(t testing.TB, name, here, there string) (enter []string) {
	t.Helper()
	holder := exec.Command("sh", "-c", "ip link set lo up && echo up && exec cat") // until its input is closed
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	in, inErr := holder.StdinPipe()
	out, outErr := holder.StdoutPipe()
	if err := errors.Join(inErr, outErr, holder.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = holder.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
		t.Fatalf("the second namespace is not up: %q, %v", line, err)
	}
	pid := strconv.Itoa(holder.Process.Pid)
	enter = []string{"nsenter", "--net=/proc/" + pid + "/ns/net"}
	run(t, "ip", "link", "add", name, "type", "veth", "peer", "name", name+"p", "netns", pid)
	run(t, "ip", "link", "set", name, "up")
	Address(t, name, here)
	for _, args := range [][]string{{"link", "set", name + "p", "up"}, {"addr", "add", there, "dev", name + "p"}} {
		run(t, enter[0], append([]string{enter[1], "ip"}, args...)...)
	}
	return enter
}

// Address gives an interface one more address, which is usable when it returns.
func Address(t testing.TB, name, addr string) {
	t.Helper()
	args := []string{"addr", "add", addr, "dev", name}
	if strings.Contains(addr, ":") {
		args = append(args, "nodad")
	}
	run(t, "ip", args...)
}

func byName(t testing.TB, name string) net.Interface {
	t.Helper()
	i, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return *i
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// ProcessorTime returns the user and system time that a process of Linux has used.
func ProcessorTime(t testing.TB, pid int) time.Duration {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:])) // the name may hold spaces
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}
