package sim

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// What an iot device answers to the apps and libraries of others, beside the commands of its account. Nothing of it
// matters to a driver of this project: devices/PROTOCOLS.md, section 4.5.

// module answers the methods of one module.
type module func(ctx context.Context, method string, args json.RawMessage) any

// Names of the bulbs' modules; plugs have shorter ones.
const (
	bulbModules = "smartlife.iot.common."
	lightModule = "smartlife.iot.smartbulb.lightingservice"
)

// module returns the module of that name; nil where this model has none.
func (d *iot) module(name string) module {
	switch name {
	case "system":
		return func(_ context.Context, method string, args json.RawMessage) any { return d.system(method, args) }
	case d.model.cloudModule():
		return d.call
	}
	bulb := d.model.kind == home.Bulb
	short, common := strings.CutPrefix(name, bulbModules)
	switch {
	case d.model.kind == home.Camera:
		return nil
	case bulb && name == lightModule:
		return d.lighting
	case bulb != common:
		return nil
	}
	switch short {
	case "schedule":
		return d.schedule
	case "time", "timesetting":
		if bulb == (short == "timesetting") {
			return d.clock
		}
	case "emeter":
		if bulb || d.model.metered() {
			return d.emeter
		}
	}
	return nil
}

// metered reports whether a plug announces an energy meter.
func (m model) metered() bool {
	feature, _ := m.extra["feature"].(string)
	return strings.Contains(feature, "ENE")
}

// schedule answers the two reads of the schedule that libraries make.
func (d *iot) schedule(_ context.Context, method string, _ json.RawMessage) any {
	switch method {
	case "get_next_action":
		return map[string]any{"type": -1, "err_code": 0}
	case "get_rules":
		return map[string]any{"rule_list": []any{}, "version": 2, "enable": 1, "err_code": 0}
	}
	return d.model.noMember()
}

// clock answers reads of the time.
func (d *iot) clock(_ context.Context, method string, _ json.RawMessage) any {
	if method != "get_time" {
		return d.model.noMember()
	}
	now := time.Now()
	return map[string]any{
		"year": now.Year(), "month": int(now.Month()), "mday": now.Day(),
		"hour": now.Hour(), "min": now.Minute(), "sec": now.Second(), "err_code": 0,
	}
}

// emeter answers in the units of firmware since 2018. A bulb measures its power only.
func (d *iot) emeter(_ context.Context, method string, _ json.RawMessage) any {
	if method != "get_realtime" {
		return d.model.noMember()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	power := map[string]any{"power_mw": 9000 * d.relay, "err_code": 0}
	if d.model.kind != home.Bulb {
		power["voltage_mv"], power["current_ma"], power["total_wh"] = 230000, 39*d.relay, 0
	}
	return power
}

// light is how a bulb shines, or how it does when it is switched on.
type light struct {
	Hue        int    `json:"hue"`
	Saturation int    `json:"saturation"`
	ColorTemp  int    `json:"color_temp"`
	Brightness int    `json:"brightness"`
	Mode       string `json:"mode"`
}

func (l light) valid() bool {
	return l.Hue >= 0 && l.Hue <= 360 && l.Saturation >= 0 && l.Saturation <= 100 &&
		l.ColorTemp >= 0 && l.ColorTemp <= 9000 && l.Brightness >= 0 && l.Brightness <= 100 && len(l.Mode) < 64
}

// lightState returns the fields of a light_state; d.mu is held. A bulb that is off nests its last state.
func (d *iot) lightState() map[string]any {
	fields := map[string]any{
		"hue": d.light.Hue, "saturation": d.light.Saturation, "color_temp": d.light.ColorTemp,
		"brightness": d.light.Brightness, "mode": d.light.Mode,
	}
	if d.relay == 0 {
		return map[string]any{"on_off": 0, "dft_on_state": fields}
	}
	fields["on_off"] = 1
	return fields
}

// lighting answers the lighting service of bulbs.
func (d *iot) lighting(_ context.Context, method string, args json.RawMessage) any {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch method {
	case "get_light_state":
	case "transition_light_state":
		changed := struct {
			*light
			On int `json:"on_off"`
		}{&light{}, d.relay}
		*changed.light = d.light
		if json.Unmarshal(args, &changed) != nil || changed.On < 0 || changed.On > 1 || !changed.valid() {
			return badArgument
		}
		d.light, d.relay = *changed.light, changed.On
	default:
		return d.model.noMember()
	}
	answer := map[string]any{"err_code": 0}
	maps.Copy(answer, d.lightState())
	return answer
}
