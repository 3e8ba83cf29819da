package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/npmtest"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover"
	"github.com/rekeyd/rekeyd/devices/iot"
	"github.com/rekeyd/rekeyd/devices/xor"
)

// kasaSource is where the packages of the Kasa counterparts are locked; the benchmark runs at the project's top.
const kasaSource = "devices/iot/testdata/npm"

func installNPM(ctx context.Context) (string, error) { return npmtest.Install(ctx, kasaSource) }

// kasaModels are all that npm's simulator knows.
var kasaModels = []string{"hs100", "hs105", "hs110", "hs110v2", "hs200", "hs220", "hs300", "lb100", "lb120", "lb130", "kl430"}

// kasaClient binds every device anew with npm's client, all at once, and prints how long that took in milliseconds.
const kasaClient = `
const { Client } = require('tplink-smarthome-api');
(async () => {
  const client = new Client({ logLevel: 'silent' });
  const cloud = (model) => /^(lb|kl)/.test(model) ? 'smartlife.iot.common.cloud' : 'cnCloud';
  const begun = process.hrtime.bigint();
  await Promise.all(JSON.parse(process.argv[2]).map(async ({ model, address }) => {
    const to = { host: address, port: 9999 };
    await client.send({ [cloud(model)]: { unbind: {} } }, address, 9999);
    await client.send({ [cloud(model)]: { bind: { username: 'owner@example.org', password: 'x' } } }, address, 9999);
  }));
  console.log(Number(process.hrtime.bigint() - begun) / 1e6);
  process.exit(0);
})().catch((err) => { console.error(err); process.exit(1); });
`

// kasaObjects does it with the client's device objects, one device after the other, as its documentation has it: each is asked who it is first.
const kasaObjects = `
const { Client } = require('tplink-smarthome-api');
(async () => {
  const client = new Client({ logLevel: 'silent' });
  const begun = process.hrtime.bigint();
  for (const { address } of JSON.parse(process.argv[2])) {
    const device = await client.getDevice({ host: address, port: 9999 });
    await device.cloud.getInfo();
    await device.cloud.unbind();
    await device.cloud.bind('owner@example.org', 'x');
    device.closeConnection();
  }
  console.log(Number(process.hrtime.bigint() - begun) / 1e6);
  process.exit(0);
})().catch((err) => { console.error(err); process.exit(1); });
`

type kasaDevice struct {
	Model    string `json:"model"`
	Address  string `json:"address"`
	Username string `json:"username"`
}

// kasa has eleven devices of npm's simulator bound anew: by the driver, by npm's client as a library, and by its command. Each is the best of
// three rounds, in turn.
func (out *deviceTimes) kasa(ctx context.Context, npm, program, dir string) error {
	var list []kasaDevice
	for i, m := range kasaModels {
		list = append(list, kasaDevice{m, fmt.Sprintf("127.61.0.%d", i+1), owner})
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return err
	}
	script, err := os.ReadFile(filepath.Join(kasaSource, "house.js"))
	if err != nil {
		return err
	}
	sim := exec.CommandContext(ctx, "node", "-e", string(script), "house", string(raw))
	sim.Dir, sim.Stderr = npm, os.Stderr
	in, err1 := sim.StdinPipe()
	said, err2 := sim.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if err := sim.Start(); err != nil {
		return err
	}
	defer func() { _ = in.Close(); _ = sim.Wait() }()
	if lines := bufio.NewScanner(said); !lines.Scan() || lines.Text() != "ready" {
		return errors.New("npm's simulator did not start")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for range 3 {
		within, whole, err := clocked(exec.CommandContext(ctx, self, inside, "kasa", string(raw)))
		if err != nil {
			return err
		}
		best(&out.Kasa, within)
		best(&out.KasaWhole, whole)
		client := exec.CommandContext(ctx, "node", "-e", kasaClient, "client", string(raw))
		client.Dir = npm
		if within, whole, err = clocked(client); err != nil {
			return fmt.Errorf("npm's client: %w", err)
		}
		best(&out.API, within)
		best(&out.APIWhole, whole)
		client = exec.CommandContext(ctx, "node", "-e", kasaObjects, "client", string(raw))
		client.Dir = npm
		if within, _, err = clocked(client); err != nil {
			return fmt.Errorf("npm's client: %w", err)
		}
		best(&out.Objects, within)
		began := time.Now()
		if err := kasaCommand(ctx, npm, list); err != nil {
			return err
		}
		best(&out.Command, time.Since(began))
	}
	return out.quickKasa(ctx, npm, program, dir)
}

// quickKasa does the same with eleven simulated devices of this project, which answer sooner.
func (out *deviceTimes) quickKasa(ctx context.Context, npm, program, dir string) error {
	var list []kasaDevice
	var specs []map[string]string
	for i, m := range []string{"hs100", "hs105", "hs110", "hs200", "hs220", "kl130", "kl110", "lb130", "hs100", "hs110", "kl130"} {
		kind := home.Plug
		switch m[:2] {
		case "lb", "kl":
			kind = home.Bulb
		}
		if strings.HasPrefix(m, "hs2") {
			kind = home.Switch
		}
		at := fmt.Sprintf("127.62.0.%d", i+1)
		list = append(list, kasaDevice{m, at, owner})
		specs = append(specs, map[string]string{"kind": string(kind), "protocol": string(home.IOT), "model": m, "addr": at, "username": owner, "password": "old"})
	}
	raw, err := json.Marshal(specs)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "kasa.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return err
	}
	h := &household{program: program, dir: dir}
	defer h.end()
	if _, err := h.start("simulate", "--house", file); err != nil {
		return err
	}
	for _, k := range list {
		at := netip.AddrPortFrom(netip.MustParseAddr(k.Address), 9999)
		if err := waitFor(ctx, time.Minute, "a device to answer", func() bool { return answers(at) }); err != nil {
			return err
		}
	}
	if raw, err = json.Marshal(list); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for range 3 {
		within, _, err := clocked(exec.CommandContext(ctx, self, inside, "kasa", string(raw)))
		if err != nil {
			return err
		}
		best(&out.Quick, within)
		client := exec.CommandContext(ctx, "node", "-e", kasaClient, "client", string(raw))
		client.Dir = npm
		if within, _, err = clocked(client); err != nil {
			return fmt.Errorf("npm's client: %w", err)
		}
		best(&out.QuickAPI, within)
	}
	return nil
}

// best keeps the shorter time.
func best(of *time.Duration, took time.Duration) {
	if *of == 0 || took < *of {
		*of = took
	}
}

// clocked runs a program that prints how many milliseconds its work took, and returns that beside the time of the whole process.
func clocked(cmd *exec.Cmd) (within, whole time.Duration, err error) {
	began := time.Now()
	printed, err := cmd.Output()
	whole = time.Since(began)
	ms, err2 := strconv.ParseFloat(strings.TrimSpace(string(printed)), 64)
	return time.Duration(ms * float64(time.Millisecond)), whole, errors.Join(err, err2)
}

// kasaInside binds devices anew with the driver, all at once, and returns how long that took in milliseconds: what kasaClient does.
func kasaInside(ctx context.Context, args []string) (any, error) {
	var list []kasaDevice
	if len(args) != 1 || json.Unmarshal([]byte(args[0]), &list) != nil {
		return nil, errors.New("want a list of devices")
	}
	d, err := iot.New(iot.Options{})
	if err != nil {
		return nil, err
	}
	c := vaultOf(2)
	move := home.Move{Account: c.Account, From: c.Credentials[1], To: c.Credentials[0]}
	units := make([]unit, len(list))
	for i, k := range list {
		dev := home.Device{ID: "mdns-unknown", Protocol: home.IOT, Addr: netip.AddrPortFrom(netip.MustParseAddr(k.Address), 9999)}
		if dev.Keys, err = kasaKeys(ctx, dev.Addr); err != nil {
			return nil, err
		}
		units[i] = unit{dev, d}
	}
	began := time.Now()
	if _, err := each(units, func(u unit) error { return u.driver.Rekey(ctx, u.dev, move) }); err != nil {
		return nil, err
	}
	return float64(time.Since(began)) / float64(time.Millisecond), nil
}

// kasaKeys asks a device who it is.
func kasaKeys(ctx context.Context, at netip.AddrPort) ([]string, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", at.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := xor.WriteFrame(c, []byte(`{"system":{"get_sysinfo":{}}}`)); err != nil {
		return nil, err
	}
	raw, err := xor.ReadFrame(c, 64<<10)
	if err != nil {
		return nil, err
	}
	s, err := discover.Kasa().Read(xor.Seal(raw))
	return s.Keys, err
}

// kasaCommand does the same with the command that comes with npm's client, all devices at once.
func kasaCommand(ctx context.Context, npm string, list []kasaDevice) error {
	errs := make([]error, len(list))
	var all sync.WaitGroup
	for i, k := range list {
		all.Go(func() {
			module := "cnCloud"
			if strings.HasPrefix(k.Model, "lb") || strings.HasPrefix(k.Model, "kl") {
				module = "smartlife.iot.common.cloud"
			}
			for _, request := range []string{`{"` + module + `":{"unbind":{}}}`, `{"` + module + `":{"bind":{"username":"` + owner + `","password":"x"}}}`} {
				cmd := exec.CommandContext(ctx, filepath.Join(npm, "node_modules", ".bin", "tplink-smarthome-api"), "-c", "off", "send", k.Address, request)
				if raw, err := cmd.CombinedOutput(); err != nil {
					errs[i] = fmt.Errorf("npm's command: %w: %s", err, raw)
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
