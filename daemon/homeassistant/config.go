package homeassistant

import (
	"strings"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// The discovery message of Home Assistant for one device with all of its entities (integrations/mqtt, "Device discovery
// payload"). Names of devices are values in it, and in no template or topic.
type config struct {
	Device       device            `json:"dev"`
	Origin       origin            `json:"o"`
	Components   map[string]entity `json:"cmps"`
	Availability []availability    `json:"availability"`
	Mode         string            `json:"availability_mode"`
	QoS          int               `json:"qos"`
}

type device struct {
	Identifiers []string    `json:"identifiers"`
	Connections [][2]string `json:"connections,omitempty"`
	Name        string      `json:"name"`
	Maker       string      `json:"manufacturer,omitempty"`
	Model       string      `json:"model,omitempty"`
	Version     string      `json:"sw_version,omitempty"`
	Via         string      `json:"via_device,omitempty"`
	URL         string      `json:"configuration_url,omitempty"`
}

type origin struct {
	Name    string `json:"name"`
	Version string `json:"sw_version"`
	URL     string `json:"support_url"`
}

type availability struct {
	Topic    string `json:"topic"`
	Template string `json:"value_template,omitempty"`
}

// entity is one component: a sensor, a binary sensor or a button.
type entity struct {
	Platform     string       `json:"platform"`
	ID           string       `json:"unique_id"`
	Name         string       `json:"name"`
	Class        string       `json:"device_class,omitempty"`
	Category     string       `json:"entity_category,omitempty"`
	StateClass   string       `json:"state_class,omitempty"`
	Icon         string       `json:"icon,omitempty"`
	Options      []home.State `json:"options,omitempty"`
	StateTopic   string       `json:"state_topic,omitempty"`
	Template     string       `json:"value_template,omitempty"`
	AttrTopic    string       `json:"json_attributes_topic,omitempty"`
	AttrTemplate string       `json:"json_attributes_template,omitempty"`
	CommandTopic string       `json:"command_topic,omitempty"`
	PayloadPress string       `json:"payload_press,omitempty"`
}

// projectURL is where a reader of a discovery message learns who sent it.
const projectURL = "https://github.com/rekeyd/rekeyd"

// unique returns a name in Home Assistant that never changes: of the hub, of a device, and of their entities.
func unique(id string, parts ...string) string {
	return strings.Join(append([]string{"rekeyd", id}, parts...), "_")
}

func value(field string) string { return "{{ value_json." + field + " }}" }

// add adds an entity. Its key, too, is part of its name in Home Assistant.
func (c config) add(id, key string, e entity) {
	e.ID = unique(id, key)
	c.Components[key] = e
}

func (p *Publisher) newConfig(d device, avail ...availability) config {
	return config{
		Device: d, Origin: origin{"rekeyd", p.o.Version, projectURL}, Components: map[string]entity{},
		Availability: append([]availability{{Topic: p.o.Topics.Availability()}}, avail...), Mode: "all", QoS: 1,
	}
}

// deviceConfig returns the discovery message of a bound device.
func (p *Publisher) deviceConfig(r daemon.Row) config {
	id, state := string(r.ID), p.o.Topics.deviceState(r.ID)
	d := device{
		Identifiers: []string{unique(id)}, Name: r.Label(), Model: daemon.Clean(r.Model, maxText),
		Via: unique(string(p.o.Topics.Hub)),
	}
	if len(r.MAC) == 12 { // so that Home Assistant joins it with the device of another integration
		var octets []string
		for i := 0; i < len(r.MAC); i += 2 {
			octets = append(octets, r.MAC[i:i+2])
		}
		d.Connections = [][2]string{{"mac", strings.Join(octets, ":")}}
	}
	c := p.newConfig(d, availability{state, value("availability")})
	c.add(id, "verdict", entity{
		Platform: "sensor", Name: "Password", Class: "enum", Options: home.States(), Icon: "mdi:key-variant",
		StateTopic: state, Template: value("verdict"), AttrTopic: state,
		AttrTemplate: "{{ {'reason': value_json.reason, 'what_to_do': value_json.what_to_do} | tojson }}",
	})
	c.add(id, "attention", entity{
		Platform: "binary_sensor", Name: "Needs attention", Class: "problem", StateTopic: state,
		Template: value("needs_attention"),
	})
	c.add(id, "password", entity{
		Platform: "sensor", Name: "Password held", Category: "diagnostic", Icon: "mdi:counter", StateTopic: state,
		Template: value("password"),
	})
	c.add(id, "rekeyed", entity{
		Platform: "sensor", Name: "Last rekey", Class: "timestamp", StateTopic: state, Template: value("rekeyed"),
	})
	c.add(id, "rekey", entity{
		Platform: "button", Name: "Rekey", Icon: "mdi:key-change", CommandTopic: p.o.Topics.deviceRekey(r.ID),
		PayloadPress: press,
	})
	return c
}

// hubConfig returns the discovery message of the hub.
func (p *Publisher) hubConfig() config {
	id, state := string(p.o.Topics.Hub), p.o.Topics.hubState()
	c := p.newConfig(device{
		Identifiers: []string{unique(id)}, Name: "rekeyd", Maker: "rekeyd", Model: "hub", Version: p.o.Version,
		URL: p.o.PageURL,
	})
	for _, n := range []struct{ key, field, name string }{
		{"epoch", "epoch", "Newest password"},
		{"devices", "devices", "Devices"},
		{"kept", "kept", "Devices on the newest password"},
		{"moving", "moving", "Devices being moved"},
		{"need_you", "need_you", "Devices that need you"},
	} {
		c.add(id, n.key, entity{
			Platform: "sensor", Name: n.name, StateClass: "measurement", StateTopic: state, Template: value(n.field),
		})
	}
	c.add(id, "attention", entity{
		Platform: "binary_sensor", Name: "Needs attention", Class: "problem", StateTopic: state,
		Template: value("needs_attention"),
	})
	c.add(id, "link", entity{
		Platform: "binary_sensor", Name: "Account link", Class: "connectivity", Category: "diagnostic", StateTopic: state,
		Template: value("link"), AttrTopic: state, AttrTemplate: "{{ {'reason': value_json.reason} | tojson }}",
	})
	c.add(id, "version", entity{
		Platform: "sensor", Name: "Version", Category: "diagnostic", Icon: "mdi:information-outline", StateTopic: state,
		Template: value("version"),
	})
	c.add(id, "rekey", entity{
		Platform: "button", Name: "Rekey all", Icon: "mdi:key-change", CommandTopic: p.o.Topics.hubRekey(),
		PayloadPress: press,
	})
	return c
}
