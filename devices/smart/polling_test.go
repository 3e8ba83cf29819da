package smart_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/npmtest"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// A home automation that others wrote (iobroker.tapo) tries the older handshake first, as it does with every device,
// and polls with requests that are nested in one. It does so before and after a move.
func TestAHomeAutomationPollsOurSimulatedDevices(t *testing.T) {
	dir := npmtest.Packages(t, filepath.Join("..", "tpap", "testdata", "npm"))
	script, err := os.ReadFile(filepath.Join("testdata", "npm", "polling.js"))
	if err != nil {
		t.Fatal(err)
	}
	if !nettest.InNamespace(t) {
		return
	}
	bulb := plug(email, "old-password")
	bulb.Kind = home.Bulb
	methods := []string{
		"component_nego", "get_device_info", "get_connect_cloud_state", "get_device_usage", "get_auto_update_info",
	}
	d := driver(t)
	for _, device := range play(t, plug(email, "old-password"), bulb) {
		poll := func(password string) (read struct {
			Responses []struct {
				Method string
				Result json.RawMessage
				Code   int `json:"error_code"`
			}
			Error string
		},
		) {
			t.Helper()
			args := append([]string{"-e", string(script), "client", device.Addr().Addr().String(), email, password}, methods...)
			cmd := exec.CommandContext(t.Context(), "node", args...)
			cmd.Dir = dir
			raw, err := cmd.Output()
			if err != nil || json.Unmarshal(raw, &read) != nil {
				t.Fatalf("%s: %q, %v", device.Kind(), raw, err)
			}
			return read
		}
		complete := func(password string) {
			t.Helper()
			read := poll(password)
			if read.Error != "" || len(read.Responses) != len(methods) {
				t.Fatalf("%s: read %+v", device.Kind(), read)
			}
			for i, r := range read.Responses {
				if r.Method != methods[i] || r.Code != 0 || r.Result == nil {
					t.Errorf("%s: %s answered %d %s", device.Kind(), r.Method, r.Code, r.Result)
				}
			}
			colour := strings.Contains(string(read.Responses[0].Result), `"color"`)
			if mac := strings.TrimPrefix(string(device.ID()), "mac-"); colour != (device.Kind() == home.Bulb) ||
				!strings.Contains(strings.ReplaceAll(strings.ToLower(string(read.Responses[1].Result)), "-", ""), mac) {
				t.Errorf("%s: components %s, info %s", device.Kind(), read.Responses[0].Result, read.Responses[1].Result)
			}
		}
		complete("old-password")
		if err := d.Rekey(t.Context(), seen(device), move); err != nil {
			t.Errorf("%s: %v", device.Kind(), err)
		}
		complete("new-password")
		if read := poll("old-password"); read.Error == "" {
			t.Errorf("%s: the old password opens it after a move", device.Kind())
		}
	}
}
