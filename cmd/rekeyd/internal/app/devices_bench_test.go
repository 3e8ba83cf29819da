package app

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/localstore"
)

// mixedHouse is about 250 devices of the protocols by which one is asked and moved.
const mixedHouse = "plug:iot=32,plug:klap1=32,bulb:iot-klap2=31,switch:klap2=31,bulb:smart-aes=31," +
	"camera:tapocam=31,plug:tpap=31,camera:nc=31"

// BenchmarkDevices probes 250 devices against 8 candidates, and then rekeys and probes them, 16 at once. Each holds the
// password before the newest. The devices are `rekeyd simulate` in a process of its own, on the same cores:
// simulator-ms is its processor time, drivers-ms that of this process, and times their ratio. Attempts are counted in a
// ledger on disk. A TPAP device counts wrong passwords, so it has accepted before the one that it holds.
func BenchmarkDevices(b *testing.B) {
	const candidates, atOnce = 8, 16
	c := home.Candidates{
		Account:  home.Account{ID: "bench", Provider: home.TPLink, Email: ownerEmail, Epoch: candidates},
		Recorded: candidates - 1,
		Terms:    home.Terms{Bound: true, Cleartext: true}, DevicePassword: home.NewSecret("admin"), Accepted: true,
	}
	for e := home.Epoch(candidates); e > 0; e-- {
		password := home.NewSecret(fmt.Sprint("password-", e))
		c.Credentials = append(c.Credentials, home.Credential{Epoch: e, Username: ownerEmail, Password: password})
	}
	store, err := localstore.Open(localstore.Options{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	drivers, err := drivers(benchIdentity(b, wire.RoleHub), store)
	if err != nil {
		b.Fatal(err)
	}
	devs, pid := simulated(b, c.Credentials[1].Password.Reveal())
	_, _, err = store.EnrolCloud(c.Account, c.Credentials[0], home.CloudSession{})
	if err = errors.Join(err, store.Bind(c.Account.ID, devs)); err != nil {
		b.Fatal(err)
	}
	each := func(b *testing.B, do func(home.Device) error) {
		errs := make([]error, len(devs))
		free := make(chan struct{}, atOnce)
		used, ours, began := nettest.ProcessorTime(b, pid), nettest.ProcessorTime(b, os.Getpid()), time.Now()
		var all sync.WaitGroup
		for i, d := range devs {
			free <- struct{}{}
			all.Go(func() { errs[i] = do(d); <-free })
		}
		all.Wait()
		b.ReportMetric(float64(len(devs))/time.Since(began).Seconds(), "devices/s")
		used, ours = nettest.ProcessorTime(b, pid)-used, nettest.ProcessorTime(b, os.Getpid())-ours
		b.ReportMetric(float64(used.Milliseconds()), "simulator-ms")
		b.ReportMetric(float64(ours.Milliseconds()), "drivers-ms")
		b.ReportMetric(ours.Seconds()/used.Seconds(), "times")
		if err := errors.Join(errs...); err != nil {
			b.Fatal(err)
		}
	}
	probe := func(d home.Device, c home.Candidates, state home.State) error {
		f, err := drivers[d.Protocol].Probe(b.Context(), d, c)
		if err == nil && f.Verdict.State != state {
			err = fmt.Errorf("%s: found %s, want %s", d.Protocol, f.Verdict.State, state)
		}
		return err
	}
	older := c
	older.Credentials = c.Credentials[1:2]
	for _, d := range devs {
		if d.Protocol != home.TPAP {
			continue
		}
		if err := probe(d, older, home.Stale); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("do=probe", func(b *testing.B) {
		each(b, func(d home.Device) error { return probe(d, c, home.Stale) })
	})
	newest, held := c.Credentials[0], c.Credentials[1]
	move := home.Move{Account: c.Account, From: held, To: newest, Known: c.Credentials, Terms: c.Terms, Try: true}
	move.DevicePassword, move.Accepted = c.DevicePassword, true
	b.Run("do=rekey", func(b *testing.B) {
		each(b, func(d home.Device) error {
			if err := drivers[d.Protocol].Rekey(b.Context(), d, move); err != nil {
				return fmt.Errorf("%s: %w", d.Protocol, err)
			}
			return probe(d, c, home.Current)
		})
	})
}

// simulated runs mixedHouse in a process of its own until b ends.
func simulated(b *testing.B, password string) (devs []home.Device, pid int) {
	b.Helper()
	bin := filepath.Join(b.TempDir(), "rekeyd")
	build := exec.Command("go", "build", "-o", bin, "github.com/rekeyd/rekeyd/cmd/rekeyd")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(bin, "simulate", "--count", mixedHouse, "--username", ownerEmail, "--password", password)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for lines := bufio.NewScanner(out); len(devs) < 250 && lines.Scan(); {
		var d struct {
			ID, Protocol, Addr string
			Port               uint16
		}
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			b.Fatalf("the simulator prints %q: %v", lines.Text(), err)
		}
		devs = append(devs, home.Device{
			ID: home.DeviceID(d.ID), Keys: []string{strings.Replace(d.ID, "-", ":", 1)},
			Protocol: home.Protocol(d.Protocol), Addr: netip.AddrPortFrom(netip.MustParseAddr(d.Addr), d.Port),
		})
	}
	for _, d := range devs {
		nettest.AwaitOpen(b, d.Addr.String())
	}
	return devs, cmd.Process.Pid
}
