package sim_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// answered returns what an iot device answers to one request.
func answered(t *testing.T, d *sim.Device, request string) string {
	t.Helper()
	raw, _, ok := sim.Answer(d, []byte(request))
	if !ok {
		t.Fatalf("%s is no request", request)
	}
	return string(raw)
}

func TestBulbIsSwitchedAndColouredByItsLightingService(t *testing.T) {
	d := sim.Unplugged(sim.Spec{Kind: home.Bulb, Protocol: home.IOT})[0]
	const service = "smartlife.iot.smartbulb.lightingservice"
	for _, c := range []struct{ method, args, want string }{
		{
			"get_light_state", `{}`,
			`{"dft_on_state":{"brightness":50,"color_temp":2700,"hue":0,"mode":"normal","saturation":0},"err_code":0,` +
				`"on_off":0}`,
		},
		{
			"transition_light_state", `{"ignore_default":1,"on_off":1,"hue":120,"saturation":75,"color_temp":0}`,
			`{"brightness":50,"color_temp":0,"err_code":0,"hue":120,"mode":"normal","on_off":1,"saturation":75}`,
		},
		{
			"transition_light_state", `{"brightness":101}`, `{"err_code":-3,"err_msg":"invalid argument"}`,
		},
		{
			"get_light_state", `{}`,
			`{"brightness":50,"color_temp":0,"err_code":0,"hue":120,"mode":"normal","on_off":1,"saturation":75}`,
		},
		{"dance", `{}`, `{"err_code":-2000,"err_msg":"Method not support"}`},
	} {
		want := `{"` + service + `":{"` + c.method + `":` + c.want + `}}`
		if got := answered(t, d, `{"`+service+`":{"`+c.method+`":`+c.args+`}}`); got != want {
			t.Errorf("%s %s: %s, want %s", c.method, c.args, got, want)
		}
	}
	if got := answered(t, d, who); !strings.Contains(got, `"light_state":{"brightness":50,"color_temp":0,"hue":120`) {
		t.Errorf("sysinfo after a change: %s", got)
	}
}

func TestModelAnswersForItsOwnModulesOnly(t *testing.T) {
	const common = "smartlife.iot.common."
	plug := sim.Spec{Kind: home.Plug, Protocol: home.IOT, Model: "hs100"}
	meter := sim.Spec{Kind: home.Plug, Protocol: home.IOT, Model: "hs110"}
	bulb := sim.Spec{Kind: home.Bulb, Protocol: home.IOT}
	for _, c := range []struct {
		spec         sim.Spec
		module, want string
		method       string
	}{
		{plug, "schedule", `"type":-1`, "get_next_action"},
		{plug, "schedule", `"rule_list":[]`, "get_rules"},
		{plug, "schedule", `"err_code":-2`, "dance"},
		{plug, "time", `"year":20`, "get_time"},
		{plug, "timesetting", `"err_code":-1`, "get_time"},
		{plug, "emeter", `"err_code":-1`, "get_realtime"},
		{meter, "emeter", `"voltage_mv":230000`, "get_realtime"},
		{bulb, "emeter", `"err_code":-2001`, "get_realtime"},
		{bulb, common + "emeter", `"power_mw":0`, "get_realtime"},
		{bulb, common + "schedule", `"type":-1`, "get_next_action"},
		{bulb, common + "schedule", `"rule_list":[]`, "get_rules"},
		{bulb, common + "timesetting", `"year":20`, "get_time"},
		{bulb, common + "time", `"err_code":-2001`, "get_time"},
		{plug, common + "time", `"err_code":-1`, "get_time"},
		{plug, "smartlife.iot.smartbulb.lightingservice", `"err_code":-1`, "get_light_state"},
	} {
		d := sim.Unplugged(c.spec)[0]
		got := answered(t, d, `{"`+c.module+`":{"`+c.method+`":{}}}`)
		if !strings.Contains(got, c.want) || !json.Valid([]byte(got)) {
			t.Errorf("%s %s: %s.%s: %s, want %s in it", c.spec.Kind, c.spec.Model, c.module, c.method, got, c.want)
		}
	}
}
