package sim

// What a Tapo camera answers to the libraries of others, beside the commands of its password: devices/PROTOCOLS.md,
// section 10.5.

// camComponents is the firmware's list of its abilities, as python-kasa and Home Assistant read it. Never changed.
var camComponents = []string{"account", "audio", "detection", "firmware", "led", "quickSetup", "system", "video"}

// query answers methods that change nothing. ok is false for a method that is not known.
func (d *tapocam) query(method string) (result map[string]any, ok bool) {
	switch method {
	case "getAppComponentList":
		list := make([]map[string]any, 0, len(camComponents))
		for _, name := range camComponents {
			list = append(list, map[string]any{"name": name, "version": 1})
		}
		return map[string]any{"app_component": map[string]any{"app_component_list": list}}, true
	case "getConnectionType":
		return map[string]any{"link_type": "wifi", "ssid": "aG9tZQ==", "rssi": "4", "rssiValue": -41}, true
	}
	return nil, false
}
