package sim_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/sim"
)

func smartDevice(kind home.Kind) *sim.Device {
	return sim.Unplugged(sim.Spec{Kind: kind, Protocol: home.KLAP2})[0]
}

func TestSmartDeviceStatesWhatLibrariesRead(t *testing.T) {
	var info struct {
		Result map[string]any
	}
	if err := json.Unmarshal(
		[]byte(sim.SmartAnswer(smartDevice(home.Plug), `{"method":"get_device_info"}`)), &info,
	); err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq("hw_id oem_id fw_id lang specs ssid signal_level region time_diff avatar " +
		"latitude longitude has_set_location_info device_id fw_ver hw_ver mac model nickname type device_on rssi ip") {
		if _, ok := info.Result[name]; !ok {
			t.Errorf("get_device_info has no %s", name)
		}
	}
	for _, c := range []struct {
		kind         home.Kind
		method, want string
	}{
		{
			home.Bulb, "component_nego",
			`{"id":"brightness","ver_code":1},{"id":"cloud_connect","ver_code":1},{"id":"color","ver_code":1}`,
		},
		{home.Plug, "get_device_usage", `"time_usage":{"past30":0,"past7":0,"today":0}`},
		{home.Plug, "get_device_usage", `"power_usage":{`},
		{home.Plug, "get_connect_cloud_state", `{"error_code":0,"result":{"status":0}}`},
		{home.Plug, "get_auto_update_info", `{"error_code":0,"result":{"enable":true,"random_range":120,"time":180}}`},
		{home.Plug, "dance", `{"error_code":-1002}`},
	} {
		if got := sim.SmartAnswer(smartDevice(c.kind), `{"method":"`+c.method+`"}`); !strings.Contains(got, c.want) {
			t.Errorf("%s of a %s: %s, want %s in it", c.method, c.kind, got, c.want)
		}
	}
}

func TestSmartDeviceRunsNestedRequests(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat(`{"method":"device_reboot"},`, 51), ",")
	for request, want := range map[string]string{
		`{"requests":[{"method":"get_connect_cloud_state"},` +
			`{"method":"set_device_info","params":{"device_on":true}}]}`: `{"error_code":0,` +
			`"result":{"responses":[{"error_code":0,"method":"get_connect_cloud_state","result":{"status":0}},` +
			`{"error_code":0,"method":"set_device_info"}]}}`,
		`{"requests":[{"method":"multipleRequest","params":{"requests":[{"method":"device_reboot"}]}}]}`: `{"error_code":0,` +
			`"result":{"responses":[{"error_code":-1002,"method":"multipleRequest"}]}}`,
		`{"requests":[]}`:               `{"error_code":-1008}`,
		`{"requests":[` + many + `]}`:   `{"error_code":-1008}`,
		`{"requests":{"method":"get"}}`: `{"error_code":-1008}`,
	} {
		if got := sim.SmartAnswer(smartDevice(home.Plug), `{"method":"multipleRequest","params":`+request+`}`); got != want {
			t.Errorf("%s: %s, want %s", request, got, want)
		}
	}
}

func TestDeviceThatSpeaksKLAPRefersTheOlderHandshakeToIt(t *testing.T) {
	for _, protocol := range []home.Protocol{home.KLAP1, home.IOTKLAP2, home.KLAP2} {
		web := sim.KLAP(sim.Unplugged(sim.Spec{Kind: home.Plug, Protocol: protocol})[0])
		for _, c := range []struct{ method, path, body, want string }{
			{http.MethodPost, "/app", `{"method":"handshake","params":{"key":"x"}}`, `{"error_code":1003}`},
			{http.MethodGet, "/", "", "200 OK"},
		} {
			w := httptest.NewRecorder()
			web.ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%s: %s %s: %d %s, want %s", protocol, c.method, c.path, w.Code, w.Body, c.want)
			}
		}
	}
}
