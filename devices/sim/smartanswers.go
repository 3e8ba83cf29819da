package sim

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// What a SMART device answers to the apps and libraries of others, beside the commands of its account:
// devices/PROTOCOLS.md, section 9.1.

// maxNested is how many requests one multipleRequest may have.
const maxNested = 50

// multiple runs the requests of a multipleRequest, in order. None of them may be another multipleRequest.
func (d *smart) multiple(params json.RawMessage) (any, int) {
	var p struct{ Requests []smartRequest }
	if json.Unmarshal(params, &p) != nil || len(p.Requests) == 0 || len(p.Requests) > maxNested {
		return nil, smartBadParams
	}
	responses := make([]map[string]any, 0, len(p.Requests))
	for _, r := range p.Requests {
		of, code := d.run(r.Method, r.Params)
		one := result(code, of)
		one["method"] = r.Method
		responses = append(responses, one)
	}
	return map[string]any{"responses": responses}, 0
}

// query answers methods that change nothing; d.mu is held. ok is false for a method that is not known.
func (d *smart) query(method string) (result map[string]any, ok bool) {
	switch method {
	case "get_device_info":
		return d.deviceInfo(), true
	case "component_nego":
		return map[string]any{"component_list": d.components()}, true
	case "get_device_time":
		return map[string]any{"timestamp": time.Now().Unix(), "time_diff": 60, "region": "Europe/Berlin"}, true
	case "get_connect_cloud_state":
		return map[string]any{"status": 0}, true
	case "get_auto_update_info":
		return map[string]any{"enable": true, "random_range": 120, "time": 180}, true
	case "get_device_usage":
		unused := map[string]any{"today": 0, "past7": 0, "past30": 0}
		usage := map[string]any{"time_usage": unused}
		if d.spec.Kind != home.Switch {
			usage["power_usage"], usage["saved_power"] = unused, unused
		}
		return usage, true
	}
	return nil, false
}

// deviceInfo is the answer to get_device_info.
func (d *smart) deviceInfo() map[string]any {
	mac := d.spec.stated(d.mac)
	kind := map[home.Kind]string{home.Plug: "PLUG", home.Switch: "SWITCH", home.Bulb: "BULB"}[d.spec.Kind]
	unit := strings.ToUpper(strings.Repeat(hex.EncodeToString(mac), 3))[:32]
	info := map[string]any{
		"device_id": "80" + strings.Repeat(hex.EncodeToString(mac)[6:], 6) + "00",
		"type":      "SMART.TAPO" + kind, "model": d.spec.Model, "avatar": strings.ToLower(kind),
		"fw_ver": "1.3.0 Build 230905", "fw_id": unit, "hw_ver": "1.0", "hw_id": unit, "oem_id": unit, "specs": "",
		"mac":      dashed(mac),
		"nickname": base64.StdEncoding.EncodeToString([]byte(d.spec.Name)),
		"ip":       d.spec.Addr.String(), "ssid": base64.StdEncoding.EncodeToString([]byte("home")),
		"rssi": -41, "signal_level": 3, "device_on": d.on, "overheated": false,
		"lang": "en_US", "region": "Europe/Berlin", "time_diff": 60,
		"has_set_location_info": false, "latitude": 0, "longitude": 0,
	}
	if d.spec.Kind == home.Bulb {
		maps.Copy(info, map[string]any{"brightness": 50, "color_temp": 2700, "hue": 0, "saturation": 100})
	}
	return info
}

// components is the firmware's list of its abilities. Without account and quick_setup it takes no new password.
func (d *smart) components() []map[string]any {
	names := map[string]int{"device": 2, "time": 1, "firmware": 2, "cloud_connect": 1}
	if !d.spec.has(Bare) {
		names["account"], names["quick_setup"] = 1, 3
	}
	if d.spec.Kind == home.Bulb {
		names["brightness"], names["color"], names["color_temperature"] = 1, 1, 1
	}
	list := make([]map[string]any, 0, len(names))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		list = append(list, map[string]any{"id": name, "ver_code": names[name]})
	}
	return list
}
