package tapocam_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/npmtest"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/devices/tapocam"
)

// A client that others wrote (iobroker.tapo) opens the simulated cameras with what they hold, and with nothing else,
// and with the new password after a move. So the cameras are not as they are only because the driver is.
func TestAClientThatOthersWroteOpensOurSimulatedCameras(t *testing.T) {
	dir := npmtest.Packages(t, filepath.Join("..", "tpap", "testdata", "npm"))
	script, err := os.ReadFile(filepath.Join("testdata", "npm", "client.js"))
	if err != nil {
		t.Fatal(err)
	}
	if !nettest.InNamespace(t) {
		return
	}
	methods := []string{"getDeviceInfo", "getAppComponentList", "getConnectionType", "dance"}
	d := driver(t, tapocam.Options{})
	for _, device := range play(t, camera("old-password"), camera("old-password", sim.MD5)) {
		opens := func(password string) bool {
			t.Helper()
			args := append([]string{"-e", string(script), "client", device.Addr().Addr().String(), password}, methods...)
			cmd := exec.CommandContext(t.Context(), "node", args...)
			cmd.Dir = dir
			raw, err := cmd.Output()
			var read struct {
				Responses []struct {
					Method string
					Result json.RawMessage
					Code   int `json:"error_code"`
				}
				Error string
			}
			if err != nil || json.Unmarshal(raw, &read) != nil {
				t.Fatalf("%s: %q, %v", device.Name(), raw, err)
			}
			if read.Error != "" {
				return false
			}
			if len(read.Responses) != len(methods) {
				t.Fatalf("%s: read %+v", device.Name(), read)
			}
			want := []string{"basic_info", "app_component_list", `"link_type":"wifi"`, "null"}
			for i, r := range read.Responses {
				if r.Method != methods[i] || (r.Code == 0) != (methods[i] != "dance") ||
					!strings.Contains(string(r.Result), want[i]) {
					t.Errorf("%s: %s answered %d %s", device.Name(), r.Method, r.Code, r.Result)
				}
			}
			return true
		}
		if !opens("old-password") || opens("new-password") {
			t.Errorf("%s does not open with what it holds, or with something else", device.Name())
		}
		if err := d.Rekey(t.Context(), seen(device), move); err != nil {
			t.Errorf("%s: %v", device.Name(), err)
		}
		if !opens("new-password") || opens("old-password") {
			t.Errorf("%s does not open with the new password, or with the old one still", device.Name())
		}
	}
}
