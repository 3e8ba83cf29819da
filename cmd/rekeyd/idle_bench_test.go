package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// BenchmarkIdle watches the released binary for a minute, with 100 devices bound and the link up, from 90 s after they
// were bound: with its own account service and broker, and with those of another process. rss-MB is all that is
// resident; of that, private-MB is not the program's file in the page cache. peak-MB holds the hashing of passwords.
// cpu-% is of one core.
func BenchmarkIdle(b *testing.B) {
	for _, elsewhere := range []bool{false, true} {
		b.Run(fmt.Sprint("account-elsewhere=", elsewhere), func(b *testing.B) {
			if !nettest.InNamespace(b) {
				return
			}
			r := newRig(b, "plug:iot=30,switch:iot=20,bulb:iot=30,camera:native=20")
			b.Setenv("CGO_ENABLED", "0")
			build(b, r.bin, "-trimpath", "-ldflags", "-s -w", "-tags", "nethttpomithttp2") // as make build does
			if elsewhere {
				state := filepath.Join(b.TempDir(), "cloud")
				cloud := exec.Command(r.bin, "account", "serve", "--state", state, "--policy", unactivated(b))
				cloud.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
				ok(b, cloud.Start())
				b.Cleanup(func() { _ = cloud.Process.Kill(); _ = cloud.Wait() })
				r.args = []string{"--interface", "lo", "--account-url", defaultAccountURL, "--broker", "mqtt://" + defaultBroker}
			}
			r.setUp("password-number-001")
			pid := r.cmd.Process.Pid
			time.Sleep(90 * time.Second) // until the first sweeps are over
			before := nettest.ProcessorTime(b, pid)
			time.Sleep(time.Minute)
			b.ReportMetric((nettest.ProcessorTime(b, pid)-before).Seconds()/60*100, "cpu-%")
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			ok(b, err)
			for name, unit := range map[string]string{"VmRSS:": "rss-MB", "RssAnon:": "private-MB", "VmHWM:": "peak-MB"} {
				_, rest, _ := strings.Cut(string(status), name)
				kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
				ok(b, err)
				b.ReportMetric(kib*1024/1e6, unit)
			}
		})
	}
}
