package api

import (
	"encoding/json"
	"strings"
	"testing"
)

// ownerChanges are commands that change a device's owner, or reset it.
var ownerChanges = []string{
	`{"cnCloud":{"bind":{"username":"eve@example.org","password":"x"}}}`,
	`{"cnCloud":{"unbind":{}}}`,
	`{"cnCloud":{"unbind":null}}`,
	`{"cncloud":{"UNBIND":""}}`,
	`{"cnCloud":{"set_server_url":{"server":"evil.example.org"}}}`,
	`{"cnCloud":{"set_sefserver_url":{"server":"evil.example.org"}}}`,
	`{"smartlife.iot.common.cloud":{"unbind":{}}}`,
	`{"smartlife.cam.ipcamera.cloud":{"set_server_url":{"server":"evil.example.org"}}}`,
	`{"system":{"reset":{"delay":1}}}`,
	`{"smartlife.iot.common.system":{"reset":{"delay":1}}}`,
	`{"system":{"get_sysinfo":{}},"cnCloud":{"get_info":{},"unbind":{}}}`,
	`{"context":{"child_ids":["1"]},"system":{"reset":{}}}`,
	`{"context":{"system":{"reset":{}}}}`,
	`{"system":{"reset":{}},"system":{"get_sysinfo":{}}}`,
	`{"cnCloud":{"\u0075nbind":{}}}`,
	`{"method":"device_reset"}`,
	`{"METHOD":"Device_Reset"}`,
	`{"method":"device_reset","method":"get_device_info"}`,
	`{"method":"set_qs_info","params":{"account":{"username":"eA==","password":"eA=="}}}`,
	`{"method":"multipleRequest","params":{"requests":[{"method":"get_device_info"},` +
		`{"method":"set_qs_info","params":{}}]}}`,
	`{"method":"control_child","params":{"requestData":{"method":"device_reset"},"device_id":"1"}}`,
	`{"method":"control_child","params":{"requestData":"{\"method\":\"device_reset\"}","device_id":"1"}}`,
	`{"method":"changeAdminPassword","params":{"user_management":{"change_admin_password":{"passwd":"x"}}}}`,
	`{"method":"set","user_management":{"change_admin_password":{"passwd":"x"}}}`,
	`{"method":"do","system":{"reset":"null"}}`,
	`{"method":"do","system":{"factory_restore":"null"}}`,
}

var ownerKept = []string{
	`{}`, `[]`, `null`, `7`, `"device_reset"`,
	`{"system":{"get_sysinfo":{}}}`,
	`{"system":{"set_relay_state":{"state":1}}}`,
	`{"system":{"set_dev_alias":{"alias":"reset {the] binding"}}}`,
	`{"cnCloud":{"get_info":{}}}`,
	`{"system":{"reboot":{"delay":1}}}`,
	`{"method":"get_device_info"}`,
	`{"method":"set_device_info","params":{"device_on":true,"nickname":"dW5iaW5k"}}`,
	`{"method":"multipleRequest","params":{"requests":[{"method":"getBindStatus"},{"method":"setLensMaskConfig"}]}}`,
	`{"method":"get","device_info":{"name":["basic_info"]}}`,
}

func TestCommandsThatChangeTheOwnerAreFound(t *testing.T) {
	for _, r := range ownerChanges {
		if !changesOwner([]byte(r)) {
			t.Errorf("not found: %s", r)
		}
	}
	for _, r := range ownerKept {
		if changesOwner([]byte(r)) {
			t.Errorf("taken for a change: %s", r)
		}
	}
	deep := `{"method":"device_reset"}`
	for range 20 {
		raw, _ := json.Marshal(deep) // of a string: cannot fail
		deep = `{"method":"control_child","params":{"requestData":` + string(raw) + `}}`
		if len(deep) > 32<<10 {
			break
		}
		if !changesOwner([]byte(deep)) {
			t.Fatalf("not found in texts within texts: %.200s", deep)
		}
	}
}

// A command is found wherever it stands in a request, in any letter case.
func FuzzOwnerChangesAreFoundAnywhere(f *testing.F) {
	for i := range ownerChanges {
		f.Add(byte(i), "get_sysinfo", "0101", uint64(0x5555))
	}
	f.Fuzz(func(t *testing.T, which byte, other, wraps string, upper uint64) {
		request := strings.Map(func(r rune) rune {
			upper = upper>>1 | upper<<63
			if upper&1 == 1 && r >= 'a' && r <= 'z' && r != 'u' && r != 'n' && r != 'l' { // \u and null stay
				return r - 'a' + 'A'
			}
			return r
		}, ownerChanges[int(which)%len(ownerChanges)])
		if !json.Valid([]byte(request)) {
			return // a change of letter case broke a string of the request: no JSON
		}
		name, _ := json.Marshal(other) // of a string: cannot fail
		for _, w := range wraps[:min(6, len(wraps))] {
			if w%2 == 0 {
				request = `{` + string(name) + `:` + request + `}`
			} else {
				request = `[{"method":` + string(name) + `},` + request + `]`
			}
		}
		if !changesOwner([]byte(request)) {
			t.Errorf("not found: %s", request)
		}
	})
}
