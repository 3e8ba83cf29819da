package discover

import (
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/nameplate"
)

// Announcement is one service instance of DNS-SD, unescaped.
type Announcement struct {
	Instance string   // "Hall Plug"
	Type     string   // "_hap._tcp"
	Host     string   // "plug.local.", empty while unknown
	TXT      []string // "key=value"
}

// Describe returns what an announcement states about its device: keys (strongest first), name, kind, model and, for a
// device that speaks the link itself, the protocol. It returns false for a type that is not in the table, and for one
// of a type that many things share where nothing else identifies it.
//
// All of it is unproven. Types and keys are those of devices/PROTOCOLS.md, section 13.2.
func Describe(a Announcement) (home.Sighting, bool) {
	t, ok := serviceTypes[strings.ToLower(a.Type)]
	if !ok {
		return home.Sighting{}, false
	}
	s := home.Sighting{Source: "mdns", Name: nameplate.Text(a.Instance), Kind: home.Other, Match: home.Unknown}
	if !t(&s, a, parseTXT(a.TXT)) {
		return home.Sighting{}, false
	}
	s.Keys = append(s.Keys, mdnsKey(a.Instance, a.Type))
	return s, true
}

// mdnsKey returns the key that a device has by its announced service.
func mdnsKey(instance, typ string) string {
	return "mdns:" + strings.ToLower(nameplate.Text(instance)+"."+typ)
}

// reader fills in what the TXT record of its type states. It returns false for an instance of no interest.
type reader func(s *home.Sighting, a Announcement, txt map[string]string) bool

// serviceTypes is never changed.
var serviceTypes = map[string]reader{
	"_rekeyd._tcp":      native,
	"_hap._tcp":         homekit,
	"_matter._tcp":      matter,
	"_matterc._udp":     matter,
	"_shelly._tcp":      shelly,
	"_http._tcp":        web,
	"_esphomelib._tcp":  esphome,
	"_ewelink._tcp":     ewelink,
	"_wled._tcp":        maker("WLED", home.Bulb, "", "mac"),
	"_hue._tcp":         hue,
	"_axis-video._tcp":  maker("Axis", home.Camera, "", "macaddress"),
	"_elg._tcp":         maker("Elgato", home.Bulb, "md", "id"),
	"_nanoleafapi._tcp": maker("Nanoleaf", home.Bulb, "md", ""),
	"_miio._udp":        miio,
	"_lutron._tcp":      maker("Lutron", home.Other, "", "macaddr"),
	"_hwenergy._tcp":    hwenergy,
	"_bond._tcp":        maker("Bond", home.Other, "", ""),
	"_dkapi._tcp":       maker("Daikin", home.Other, "", ""),
}

// native reads the announcement of a device that speaks the link protocol (cloudlink/PROTOCOL.md).
func native(s *home.Sighting, _ Announcement, txt map[string]string) bool {
	id := strings.ToLower(txt["id"])
	if id == "" || len(id) > 100 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return false
	}
	s.Protocol = home.Native
	s.Keys = append(s.Keys, "rk:"+id)
	s.Model = nameplate.Text(txt["model"])
	if k, err := home.ParseKind(txt["kind"]); err == nil {
		s.Kind = k
	}
	return true
}

// homekit reads HomeKit's TXT record: id is the key, ci the category.
func homekit(s *home.Sighting, _ Announcement, txt map[string]string) bool {
	if id := nameplate.Digits(txt["id"], 12); id != "" {
		s.Keys = append(s.Keys, "hap:"+id) // looks like a hardware address, and is none
	}
	s.Model = nameplate.Text(txt["md"])
	switch txt["ci"] { // HAP accessory categories
	case "5":
		s.Kind = home.Bulb
	case "7":
		s.Kind = home.Plug
	case "8":
		s.Kind = home.Switch
	case "17", "18": // a doorbell is one with a button
		s.Kind = home.Camera
	}
	return true
}

// matter reads a commissioned or commissionable Matter node. DT is its device type.
func matter(s *home.Sighting, a Announcement, txt map[string]string) bool {
	// A Matter node's host name is its hardware address; one on Thread has 16 digits and none that others know it by.
	label, _, _ := strings.Cut(a.Host, ".")
	addMAC(s, label)
	s.Keys = append(s.Keys, "matter:"+strings.ToLower(nameplate.Text(a.Instance)))
	if name := nameplate.Text(txt["DN"]); name != "" {
		s.Name = name
	}
	switch txt["DT"] { // Matter device types
	case "256", "257", "268", "269":
		s.Kind = home.Bulb
	case "266", "267":
		s.Kind = home.Plug
	case "259", "260", "261", "271", "272": // a controller of mounted lamps is one, dimming or not
		s.Kind = home.Switch
	case "322", "323":
		s.Kind = home.Camera
	}
	return true
}

// web recognises a few makers among all that have a web page. That cameras of the NC class announce theirs, under the
// name of their model, is a guess.
func web(s *home.Sighting, a Announcement, txt map[string]string) bool {
	switch {
	case ncModel(a.Instance) != "":
		s.Kind, s.Model = home.Camera, ncModel(a.Instance)
		return true
	case strings.HasPrefix(strings.ToLower(a.Instance), "shelly"):
		return shelly(s, a, txt)
	case strings.EqualFold(txt["devicetype"], "tasmota"):
		s.Kind, s.Model = home.Switch, "Tasmota"
		return true
	}
	return false
}

// ncModel returns the model that a name begins with, such as NC450, or nothing.
func ncModel(name string) string {
	const n = len("NC450")
	if len(name) < n || !strings.EqualFold(name[:2], "NC") || !digit(name[2]) || !digit(name[3]) || !digit(name[4]) {
		return ""
	}
	if len(name) > n && strings.IndexByte(" (-_.", name[n]) < 0 {
		return ""
	}
	return strings.ToUpper(name[:n])
}

// hue reads a Hue bridge.
func hue(s *home.Sighting, _ Announcement, txt map[string]string) bool {
	// A bridge id is the hardware address with fffe in its middle.
	if id := nameplate.Digits(txt["bridgeid"], 16); id != "" && id[6:10] == "fffe" {
		addMAC(s, id[:6]+id[10:])
	}
	s.Model = nameplate.Text(txt["modelid"])
	return true
}

// miio reads a Xiaomi device by its instance name, which begins with the model.
func miio(s *home.Sighting, a Announcement, _ map[string]string) bool {
	s.Model, _, _ = strings.Cut(nameplate.Text(a.Instance), "_")
	switch m := strings.ToLower(s.Model); {
	case strings.HasPrefix(m, "yeelink-light"), strings.HasPrefix(m, "philips-light"):
		s.Kind = home.Bulb
	case strings.Contains(m, "plug"):
		s.Kind = home.Plug
	case strings.Contains(m, "camera"):
		s.Kind = home.Camera
	}
	return true
}

// hwenergy reads a HomeWizard device.
func hwenergy(s *home.Sighting, _ Announcement, txt map[string]string) bool {
	s.Model = nameplate.Text(txt["product_type"])
	addMAC(s, txt["serial"])
	if s.Model == "HWE-SKT" {
		s.Kind = home.Plug
	}
	return true
}

// maker reads the types that state a model and a hardware address only, under the TXT keys given.
func maker(name string, kind home.Kind, model, mac string) reader {
	return func(s *home.Sighting, _ Announcement, txt map[string]string) bool {
		s.Kind, s.Model = kind, name
		if m := nameplate.Text(txt[model]); m != "" {
			s.Model = strings.TrimSpace(name + " " + m)
		}
		addMAC(s, txt[mac])
		return true
	}
}

func addMAC(s *home.Sighting, text string) {
	if mac := nameplate.MAC(text); mac != "" {
		s.Keys = append(s.Keys, "mac:"+mac)
	}
}

// parseTXT follows RFC 6763, 6.4: the first of equal keys counts, and keys have no letter case, except that Matter and
// HomeKit look theirs up as they write them.
func parseTXT(list []string) map[string]string {
	m := make(map[string]string, len(list))
	for _, kv := range list {
		k, v, _ := strings.Cut(unescape(kv), "=")
		for _, k := range []string{k, strings.ToLower(k)} {
			if _, double := m[k]; !double && k != "" {
				m[k] = v
			}
		}
	}
	return m
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
