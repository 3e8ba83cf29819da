package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/iot"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/smart"
	"github.com/rekeyd/rekeyd/devices/tapocam"
	"github.com/rekeyd/rekeyd/localstore"
)

// The house that is probed and rekeyed.
const (
	mixedSize   = 250
	candidates  = 8
	mixedAtOnce = 16 // as `rekeyd run --parallel` has it
)

// mixed are the protocols by which a device can be asked and moved from here; they take turns.
var mixed = []struct {
	kind     home.Kind
	protocol home.Protocol
	mac      string // the first half of what a simulated device has, the rest is its address
	port     uint16
}{
	{home.Plug, home.IOT, "50c7bf", 9999},
	{home.Plug, home.KLAP1, "50c7bf", 80},
	{home.Bulb, home.IOTKLAP2, "50c7bf", 80},
	{home.Switch, home.KLAP2, "5ce931", 80},
	{home.Bulb, home.SmartAES, "5ce931", 80},
	{home.Camera, home.TapoCam, "1c61b4", 443},
}

// deviceTimes is what the house has cost.
type deviceTimes struct {
	Probe, Rekey           time.Duration
	FakesProbe, FakesRekey time.Duration // processor time of the simulated devices meanwhile
	Probed, Rekeyed        int
	Kasa, API, Command     time.Duration // 11 devices of npm's simulator
	KasaWhole, APIWhole    time.Duration // with the start and end of the process
	Objects                time.Duration // npm, as its documentation has it
	Quick, QuickAPI        time.Duration // 11 simulated devices of this project
	Missing                string        // why those were not measured
}

// devices measures the drivers with simulated devices, and with those of others.
func devices(ctx context.Context, o options) ([]table, error) {
	dir, err := os.MkdirTemp(o.dir, "rekeyd-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program := filepath.Join(dir, "rekeyd")
	if err := build(ctx, program, nil); err != nil {
		return nil, err
	}
	npm, err := installNPM(ctx)
	if err != nil {
		npm = ""
		fmt.Fprintln(o.say, "npm:", err)
	}
	var got deviceTimes
	t := table{title: "Devices: which password each holds, and to the newest", columns: []string{"what", "measured", "baseline", "ratio", "aim"}}
	if err := inNamespace(ctx, &got, "devices", program, dir, npm); errors.Is(err, errMissing) {
		t.notef("Not measured: %v.", err)
		return []table{t}, nil
	} else if err != nil {
		return nil, err
	}
	per := func(n int, d time.Duration) string { return fmt.Sprintf("%.0f devices/s", float64(n)/d.Seconds()) }
	t.row(fmt.Sprintf("%d devices probed against %d candidates", mixedSize, candidates), per(got.Probed, got.Probe),
		"the devices' own processor time: "+millis(got.FakesProbe), fmt.Sprintf("%.2f of the %s it took", got.FakesProbe.Seconds()/got.Probe.Seconds(), millis(got.Probe)), "–")
	t.row(fmt.Sprintf("%d devices rekeyed, and probed again", mixedSize), per(got.Rekeyed, got.Rekey),
		"the devices' own processor time: "+millis(got.FakesRekey), fmt.Sprintf("%.2f of the %s it took", got.FakesRekey.Seconds()/got.Rekey.Seconds(), millis(got.Rekey)), "–")
	find, requests, err := findTime(ctx)
	if err != nil {
		return nil, err
	}
	t.row(fmt.Sprintf("one KLAP probe of %d candidates: requests", candidates), fmt.Sprint(requests), "–", "–", "1: "+verdict(requests == 1))
	t.row("· hashing, both versions", fmt.Sprintf("%.1f µs", float64(find.Nanoseconds())/1000), "–", "–", "under 50 µs: "+verdict(find < 50*time.Microsecond))
	if got.Missing != "" {
		t.notef("npm's devices and client were not measured: %s.", got.Missing)
	} else {
		api, command := got.API.Seconds()/got.Kasa.Seconds(), got.Command.Seconds()/got.KasaWhole.Seconds()
		t.row("11 devices of npm's simulator bound anew", millis(got.Kasa), "tplink-smarthome-api 5.0.0 as a library: "+millis(got.API), fmt.Sprintf("%.1f times as fast", api), "10: "+verdict(api >= 10))
		t.row("the same", millis(got.Kasa), "the library's device objects, one device after the other: "+millis(got.Objects), fmt.Sprintf("%.1f times as fast", got.Objects.Seconds()/got.Kasa.Seconds()), "10: "+verdict(got.Objects >= 10*got.Kasa))
		t.row("the same, each in a process of its own from its start to its end", millis(got.KasaWhole), "the library: "+millis(got.APIWhole), fmt.Sprintf("%.1f times as fast", got.APIWhole.Seconds()/got.KasaWhole.Seconds()), "10: "+verdict(got.APIWhole >= 10*got.KasaWhole))
		t.row("11 devices of `rekeyd simulate` bound anew", fmt.Sprintf("%.1f ms", got.Quick.Seconds()*1000), "the library: "+fmt.Sprintf("%.1f ms", got.QuickAPI.Seconds()*1000), fmt.Sprintf("%.1f times as fast", got.QuickAPI.Seconds()/got.Quick.Seconds()), "–")
		t.row("11 devices of npm's simulator, each in a process of its own", millis(got.KasaWhole), "its command, as a person would run it: "+millis(got.Command), fmt.Sprintf("%.0f times as fast", command), "–")
	}
	t.notef("Six protocols take turns (%s), in a network namespace, the devices in a process of their own (`rekeyd simulate`), on the same cores; %d at once. Each holds the password before the newest of %d. The ledger of sign-ins is on disk. The KLAP probe is of a device that holds none of the candidates; one that holds one, and whose identity was learned within ten minutes, is asked as little, and else it is asked who it is beside.",
		protocolNames(), mixedAtOnce, candidates)
	t.notef("npm: unbind and bind of eleven tplink-smarthome-simulator 5.0.1 devices, which stand in one node process and are the same for all; rekeyd's driver and the library all at once within one process, and the driver asks each device first whose it is, which the library does not; where not said, the start of the process is not counted. Most of what is left is the simulator's own time. The device objects: each device is asked for its system information and its account first, as the driver does. The command: once for each unbind and bind, all devices at once, node's start in it.")
	return []table{t}, nil
}

func protocolNames() string {
	var names []string
	for _, m := range mixed {
		names = append(names, string(m.protocol))
	}
	return strings.Join(names, ", ")
}

func millis(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d.Microseconds())/1000) }

// vaultOf is an account with that many passwords.
func vaultOf(n int) home.Candidates {
	c := home.Candidates{Account: home.Account{ID: "bench", Email: owner, Epoch: home.Epoch(n), CleartextBind: true}}
	for e := n; e > 0; e-- {
		c.Credentials = append(c.Credentials, home.Credential{Epoch: home.Epoch(e), Username: owner, Password: home.NewSecret(fmt.Sprint("password-of-epoch-", e))})
	}
	c.Recorded = home.Epoch(n - 1)
	return c
}

// devicesInside measures in this namespace; args are the program, a directory, and where node's packages are.
func devicesInside(ctx context.Context, args []string) (any, error) {
	if len(args) != 3 {
		return nil, errors.New("want PROGRAM DIRECTORY PACKAGES")
	}
	var out deviceTimes
	if err := out.house(ctx, args[0], args[1]); err != nil {
		return nil, err
	}
	if args[2] == "" {
		out.Missing = "node's packages could not be installed"
		return out, nil
	}
	return out, out.kasa(ctx, args[2], args[0], args[1])
}

// unit is one simulated device with its driver.
type unit struct {
	dev    home.Device
	driver daemon.Driver
}

// house puts up the house, and probes and rekeys it.
func (out *deviceTimes) house(ctx context.Context, program, dir string) error {
	c := vaultOf(candidates)
	store, err := localstore.Open(localstore.Options{Dir: filepath.Join(dir, "hub"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer store.Close()
	drivers, err := benchDrivers(store)
	if err != nil {
		return err
	}
	var specs []map[string]string
	units := make([]unit, mixedSize)
	at := netip.MustParseAddr("127.60.0.1")
	for i := range units {
		m := mixed[i%len(mixed)]
		specs = append(specs, map[string]string{
			"kind": string(m.kind), "protocol": string(m.protocol), "addr": at.String(), "username": owner, "password": c.Credentials[1].Password.Reveal(),
		})
		a := at.As4()
		mac := fmt.Sprintf("%s%02x%02x%02x", m.mac, a[1], a[2], a[3])
		units[i] = unit{home.Device{ID: home.DeviceID("mac-" + mac), Protocol: m.protocol, Addr: netip.AddrPortFrom(at, m.port), Keys: []string{"mac:" + mac}}, drivers[m.protocol]}
		for at = at.Next(); at.As4()[3] == 0 || at.As4()[3] == 255; at = at.Next() {
		}
	}
	raw, err := json.Marshal(specs)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "house.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return err
	}
	h := &household{program: program, dir: dir}
	defer h.end()
	pid, err := h.start("simulate", "--house", file)
	if err != nil {
		return err
	}
	for _, u := range units {
		if err := waitFor(ctx, time.Minute, "a device to answer", func() bool { return answers(u.dev.Addr) }); err != nil {
			return err
		}
	}
	before := processorTime(pid)
	began := time.Now()
	if out.Probed, err = each(units, func(u unit) error {
		f, err := u.driver.Probe(ctx, u.dev, c)
		if err == nil && (f.Verdict.State != home.Stale || f.Verdict.Epoch != candidates-1) {
			err = fmt.Errorf("%s: found %s %d", u.dev.Protocol, f.Verdict.State, f.Verdict.Epoch)
		}
		return err
	}); err != nil {
		return err
	}
	out.Probe, out.FakesProbe = time.Since(began), processorTime(pid)-before
	move := home.Move{Account: c.Account, From: c.Credentials[1], To: c.Credentials[0], Known: c.Credentials}
	before, began = processorTime(pid), time.Now()
	if out.Rekeyed, err = each(units, func(u unit) error {
		if err := u.driver.Rekey(ctx, u.dev, move); err != nil {
			return fmt.Errorf("%s: %w", u.dev.Protocol, err)
		}
		f, err := u.driver.Probe(ctx, u.dev, c)
		if err == nil && f.Verdict.State != home.Current {
			err = fmt.Errorf("%s: found %s afterwards", u.dev.Protocol, f.Verdict.State)
		}
		return err
	}); err != nil {
		return err
	}
	out.Rekey, out.FakesRekey = time.Since(began), processorTime(pid)-before
	return nil
}

func benchDrivers(budget keyring.Budget) (map[home.Protocol]daemon.Driver, error) {
	i, err1 := iot.New(iot.Options{})
	k, err2 := iot.NewKLAP(iot.Options{})
	s, err3 := smart.New(smart.Options{})
	a, err4 := smart.NewAES(smart.AESOptions{Budget: budget})
	t, err5 := tapocam.New(tapocam.Options{Budget: budget})
	return map[home.Protocol]daemon.Driver{home.IOT: i, home.KLAP1: k, home.IOTKLAP2: k, home.KLAP2: s, home.SmartAES: a, home.TapoCam: t},
		errors.Join(err1, err2, err3, err4, err5)
}

// each does something with every device, so many at once, and returns with how many it was done.
func each(units []unit, do func(unit) error) (int, error) {
	errs := make([]error, len(units))
	free := make(chan struct{}, mixedAtOnce)
	var all sync.WaitGroup
	for i, u := range units {
		free <- struct{}{}
		all.Go(func() { errs[i] = do(u); <-free })
	}
	all.Wait()
	return len(units), errors.Join(errs...)
}

func answers(at netip.AddrPort) bool {
	c, err := net.DialTimeout("tcp", at.String(), time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// processorTime is the user and system time of a process so far.
func processorTime(pid int) time.Duration {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 on Linux
}
