package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// model is the statement of one model of the iot protocol about itself. The names are those of real models, so that
// whoever classifies devices by them is tested; whatever would distinguish two units is made up.
type model struct {
	name, full, title string
	kind              home.Kind
	hw, sw            string
	extra             map[string]any // further fields of its get_sysinfo
}

// models is never changed. The first of a kind is its default.
var models = []model{
	{
		"hs100",
		"HS100(US)",
		"Smart Wi-Fi Plug",
		home.Plug,
		"1.0",
		"1.2.6 Build 200727 Rel.121701",
		map[string]any{"feature": "TIM"},
	},
	{
		"hs105",
		"HS105(US)",
		"Smart Wi-Fi Plug Mini",
		home.Plug,
		"1.0",
		"1.5.6 Build 191114 Rel.104204",
		map[string]any{"feature": "TIM"},
	},
	{
		"hs110",
		"HS110(EU)",
		"Smart Wi-Fi Plug With Energy Monitoring",
		home.Plug,
		"2.0",
		"1.5.2 Build 171201 Rel.084625",
		map[string]any{"feature": "TIM:ENE"},
	},
	{
		"hs200",
		"HS200(US)",
		"Smart Wi-Fi Light Switch",
		home.Switch,
		"2.0",
		"1.5.7 Build 180912 Rel.104837",
		map[string]any{"feature": "TIM"},
	},
	{
		"hs220",
		"HS220(US)",
		"Smart Wi-Fi Dimmer",
		home.Switch,
		"1.0",
		"1.5.7 Build 180912 Rel.104837",
		map[string]any{"feature": "TIM", "brightness": 50},
	},
	{
		"kl130",
		"KL130(US)",
		"Kasa Smart Bulb, Multicolor",
		home.Bulb,
		"1.0",
		"1.8.11 Build 191113 Rel.105336",
		map[string]any{"is_dimmable": 1, "is_color": 1, "is_variable_color_temp": 1},
	},
	{
		"kl110",
		"KL110(US)",
		"Kasa Smart Bulb, Dimmable",
		home.Bulb,
		"1.0",
		"1.8.11 Build 191113 Rel.105336",
		map[string]any{"is_dimmable": 1, "is_color": 0, "is_variable_color_temp": 0},
	},
	{
		"ec60",
		"EC60(US)",
		"Kasa Spot",
		home.Camera,
		"4.0",
		"2.3.22 Build 20230731 Rel.69808",
		map[string]any{"status": "new", "stream_version": 3},
	},
	{
		"lb130",
		"LB130(US)",
		"Smart Wi-Fi LED Bulb with Color Changing",
		home.Bulb,
		"1.0",
		"1.8.11 Build 191113 Rel.105336",
		map[string]any{"is_dimmable": 1, "is_color": 1, "is_variable_color_temp": 1},
	},
}

// modelOf returns the model of that name, with its region or without, or the default of the kind.
func modelOf(kind home.Kind, name string) (model, error) {
	name, _, _ = strings.Cut(strings.ToLower(name), "(")
	i := slices.IndexFunc(models, func(m model) bool { return m.kind == kind && (name == "" || m.name == name) })
	if i >= 0 {
		return models[i], nil
	}
	var known []string
	for _, m := range models {
		if m.kind == kind {
			known = append(known, m.name)
		}
	}
	if known == nil {
		return model{}, fmt.Errorf("no %s speaks iot here: plug, switch, bulb and camera do", kind)
	}
	return model{}, fmt.Errorf("model %q: a %s is one of %s", name, kind, strings.Join(known, ", "))
}

// checkIOT returns the errors of a spec for the iot protocol.
func checkIOT(s Spec) error {
	if _, err := modelOf(s.Kind, s.Model); err != nil {
		return fmt.Errorf("field %q: %w", "model", err)
	}
	if s.Locks != 0 {
		return fmt.Errorf("field %q: an iot device knows no sign-in", "locks")
	}
	return checkDefects(s.Defects, iotDefects())
}

// cloudModule is where the device keeps what belongs to the account.
func (m model) cloudModule() string {
	switch m.kind {
	case home.Bulb:
		return "smartlife.iot.common.cloud"
	case home.Camera:
		return "smartlife.cam.ipcamera.cloud"
	}
	return "cnCloud"
}

// fault is an answer that is an error, in the words that were seen: devices/PROTOCOLS.md, section 4.
type fault struct {
	Code int    `json:"err_code"`
	Msg  string `json:"err_msg"`
}

// of returns the fault of a device of this model.
func (m model) of(plug, bulb fault) fault {
	switch m.kind {
	case home.Bulb:
		return bulb
	case home.Camera:
		return fault{-10008, "Unsupported API call."}
	}
	return plug
}

func (m model) noModule() fault {
	return m.of(fault{-1, "module not support"}, fault{-2001, "Module not support"})
}

func (m model) noMember() fault {
	return m.of(fault{-2, "member not support"}, fault{-2000, "Method not support"})
}

func (m model) notBound() fault {
	return m.of(fault{-8, "not bind yet"}, fault{-4002, "Device hasn't bound to any account yet"})
}

var (
	badArgument = fault{-3, "invalid argument"}
	noServer    = fault{-21, "can not connect to the server"}
	otherCmd    = fault{-32, "another cmd is running"}
	badLogin    = fault{-20601, "wrong e-mail address or password"} // no real device's answer is known
)
