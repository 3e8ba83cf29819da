package discover

import (
	"regexp"
	"slices"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/nameplate"
)

// Makers of many kinds of devices under one service type: devices/PROTOCOLS.md, section 13.2.

// relay matches the Shelly models that switch: Plus1PM, Pro4PM, Mini1G3, and of the first generation 1l, 25, 4pro.
var relay = regexp.MustCompile(`^((s|plus|pro|mini)?[1-4](pm|l)?(mini)?(g[3-9])?|switch(25)?|25|4pro)$`)

// shelly reads the model in app. Devices of the first generation have none: there it begins their name.
func shelly(s *home.Sighting, a Announcement, txt map[string]string) bool {
	name := nameplate.Text(a.Instance)
	model, tail, _ := cutLast(name, "-")
	addMAC(s, tail)
	s.Model = model
	if app := nameplate.Text(txt["app"]); app != "" {
		s.Model = app
	}
	switch m := strings.TrimPrefix(strings.ToLower(s.Model), "shelly"); {
	case strings.Contains(m, "plug"):
		s.Kind = home.Plug
	case strings.Contains(m, "dimmer"), relay.MatchString(m):
		s.Kind = home.Switch
	case strings.Contains(m, "bulb"), strings.Contains(m, "rgbw"), strings.Contains(m, "vintage"),
		strings.Contains(m, "duo"):
		s.Kind = home.Bulb
	}
	return true
}

// esphomeWords are the words of a project's name, or of a board's, that state a kind. Never changed.
var esphomeWords = []struct {
	kind  home.Kind
	words []string
}{
	{home.Plug, []string{"plug", "outlet", "socket", "sonoff_s20", "sonoff_s31"}},
	{home.Switch, []string{"switch", "relay", "dimmer", "sonoff_basic", "sonoff_sv", "sonoff_th"}},
	{home.Camera, []string{"cam", "camera", "esp32cam"}},
	{home.Bulb, []string{"bulb", "light", "lamp", "led"}},
}

// esphome reads what the maker of a firmware states of its project, else the board.
func esphome(s *home.Sighting, _ Announcement, txt map[string]string) bool {
	addMAC(s, txt["mac"])
	if name := nameplate.Text(txt["friendly_name"]); name != "" {
		s.Name = name
	}
	for _, text := range []string{txt["board"], txt["project_name"]} {
		if text == "" {
			continue
		}
		s.Model = nameplate.Text(text)
		text = strings.ToLower(text)
		words := append(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("._- ", r) }), text)
		for _, row := range esphomeWords {
			if slices.ContainsFunc(words, func(w string) bool { return slices.Contains(row.words, w) }) {
				s.Kind = row.kind
				break
			}
		}
	}
	return true
}

// ewelink reads the type of a device of Sonoff and others. A strip has several outlets.
func ewelink(s *home.Sighting, _ Announcement, txt map[string]string) bool {
	s.Model = strings.TrimSpace("eWeLink " + nameplate.Text(txt["type"]))
	switch typ := strings.ToLower(txt["type"]); {
	case strings.Contains(typ, "fan"):
	case strings.Contains(typ, "plug"), typ == "strip":
		s.Kind = home.Plug
	case strings.Contains(typ, "switch"):
		s.Kind = home.Switch
	case strings.Contains(typ, "light"):
		s.Kind = home.Bulb
	}
	return true
}
