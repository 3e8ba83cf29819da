package iot_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/npmtest"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/iot"
)

// npmClients unbind and bind every device with npm's tplink-smarthome-api, and print how many milliseconds that took
// without node's start: as a library, all at once; and with its device objects, one device after the other, as its
// documentation does.
var npmClients = map[string]string{
	"library": `await Promise.all(list.map(async ({ model, address }) => {
    const cloud = /^(lb|kl)/.test(model) ? 'smartlife.iot.common.cloud' : 'cnCloud';
    await client.send({ [cloud]: { unbind: {} } }, address, 9999);
    await client.send({ [cloud]: { bind: { username: 'owner@example.org', password: 'x' } } }, address, 9999);
  }));`,
	"objects": `for (const { address } of list) {
    const device = await client.getDevice({ host: address, port: 9999 });
    await device.cloud.getInfo();
    await device.cloud.unbind();
    await device.cloud.bind('owner@example.org', 'x');
    device.closeConnection();
  }`,
}

const npmFrame = `const { Client } = require('tplink-smarthome-api');
(async () => {
  const client = new Client({ logLevel: 'silent' }), list = JSON.parse(process.argv[2]);
  const begun = process.hrtime.bigint();
  %s
  console.log(Number(process.hrtime.bigint() - begun) / 1e6);
  process.exit(0);
})().catch((err) => { console.error(err); process.exit(1); });`

// BenchmarkBindEleven binds the eleven models of npm's simulator anew: by the driver, all at once (it also asks each
// device first whose it is), by npm's client in two ways, and by its command, once for each unbind and bind, all
// devices at once. whole-ms has the start of node in it; that of the driver is what the driver took, because it runs in
// the daemon.
func BenchmarkBindEleven(b *testing.B) {
	dir := npmtest.Packages(b, filepath.Join("testdata", "npm"))
	var list []npmDevice
	for i, m := range strings.Fields("hs100 hs105 hs110 hs110v2 hs200 hs220 hs300 lb100 lb120 lb130 kl430") {
		list = append(list, npmDevice{Model: m, Address: fmt.Sprintf("127.61.0.%d", i+1), Username: email})
	}
	npmHouse(b, dir, list)
	raw, err := json.Marshal(list)
	if err != nil {
		b.Fatal(err)
	}
	all := func(do func(npmDevice) error) {
		var running sync.WaitGroup
		for _, d := range list {
			running.Go(func() {
				if err := do(d); err != nil {
					b.Errorf("%s: %v", d.Model, err)
				}
			})
		}
		running.Wait()
	}
	b.Run("by=rekeyd", func(b *testing.B) {
		d := driver(b, iot.Options{})
		devs := map[string]home.Device{}
		for _, x := range list {
			devs[x.Address] = stranger(b, d, x.Address)
		}
		b.ResetTimer()
		for range b.N {
			all(func(x npmDevice) error { return d.Rekey(b.Context(), devs[x.Address], move) })
		}
		ms := float64(b.Elapsed().Microseconds()) / 1000 / float64(b.N)
		b.ReportMetric(ms, "bind-ms")
		b.ReportMetric(ms, "whole-ms")
	})
	for name, work := range npmClients {
		b.Run("by=npm-"+name, func(b *testing.B) {
			for range b.N {
				cmd := exec.CommandContext(b.Context(), "node", "-e", fmt.Sprintf(npmFrame, work), "client", string(raw))
				cmd.Dir = dir
				began := time.Now()
				out, err := cmd.Output()
				ms, bad := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
				if err != nil || bad != nil {
					b.Fatalf("npm's client: %v, %q", err, out)
				}
				b.ReportMetric(ms, "bind-ms")
				b.ReportMetric(float64(time.Since(began).Milliseconds()), "whole-ms")
			}
		})
	}
	b.Run("by=npm-command", func(b *testing.B) {
		for range b.N {
			began := time.Now()
			all(func(d npmDevice) error {
				cloud := "cnCloud"
				if strings.HasPrefix(d.Model, "lb") || strings.HasPrefix(d.Model, "kl") {
					cloud = "smartlife.iot.common.cloud"
				}
				for _, request := range []string{`{"unbind":{}}`, `{"bind":{"username":"owner@example.org","password":"x"}}`} {
					cmd := exec.CommandContext(b.Context(), filepath.Join(dir, "node_modules", ".bin", "tplink-smarthome-api"),
						"-c", "off", "send", d.Address, `{"`+cloud+`":`+request+`}`)
					if out, err := cmd.CombinedOutput(); err != nil {
						return fmt.Errorf("npm's command: %w: %s", err, out)
					}
				}
				return nil
			})
			b.ReportMetric(float64(time.Since(began).Milliseconds()), "whole-ms")
		}
	})
}
