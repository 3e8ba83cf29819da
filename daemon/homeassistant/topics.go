package homeassistant

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Topics are the MQTT topics of one hub. Levels come from the owner's options and from IDs, never from a device's name.
type Topics struct {
	Base   string // the owner's choice; DefaultBase when nothing was chosen
	Prefix string // of Home Assistant's discovery; empty for no discovery
	Hub    home.HubID
}

// The topics of an owner who chose none. Home Assistant's own default prefix is the same.
const (
	DefaultBase   = "rekeyd/house"
	DefaultPrefix = "homeassistant"
)

// press is the payload of an order.
const press = "PRESS"

// Check returns an error for a base or a prefix that is no topic, and for a base within the topics of the account link.
func (t Topics) Check() error {
	var errs []error
	for name, topic := range map[string]string{"base topic": t.Base, "discovery prefix": t.Prefix} {
		if topic == "" && name == "discovery prefix" {
			continue
		}
		bad := strings.ContainsFunc(topic, func(r rune) bool { return r <= ' ' || r == '+' || r == '#' || r == 0x7f })
		switch {
		case bad || topic == "" || len(topic) > 128 || strings.HasPrefix(topic, "$"),
			strings.HasPrefix(topic, "/") || strings.HasSuffix(topic, "/") || strings.Contains(topic, "//"):
			errs = append(errs, fmt.Errorf("%s %q: want levels like %s, without blanks, + and #", name, topic, DefaultBase))
		case strings.HasPrefix(topic+"/", "rekeyd/v1/"):
			errs = append(errs, fmt.Errorf("%s %q: the topics below rekeyd/v1 are the account link's", name, topic))
		}
	}
	if t.Prefix != "" && (strings.HasPrefix(t.Base+"/", t.Prefix+"/") || strings.HasPrefix(t.Prefix+"/", t.Base+"/")) {
		errs = append(errs, errors.New("base topic and discovery prefix: one begins with the other"))
	}
	return errors.Join(errs...)
}

func (t Topics) root() string { return t.Base + "/" + string(t.Hub) + "/" }

// Availability is "online" or "offline", retained, and the hub's will.
func (t Topics) Availability() string { return t.root() + "availability" }

func (t Topics) hubState() string { return t.root() + "state" }
func (t Topics) hubRekey() string { return t.root() + "rekey" }
func (t Topics) deviceState(id home.DeviceID) string {
	return t.root() + "device/" + string(id) + "/state"
}

func (t Topics) deviceRekey(id home.DeviceID) string {
	return t.root() + "device/" + string(id) + "/rekey"
}

func (t Topics) config(id string) string { return t.Prefix + "/device/" + id + "/config" }
func (t Topics) birth() string           { return t.Prefix + "/status" }

// Filters are the subscriptions of the hub: its own topics, with the orders and its own messages, and the birth
// message of Home Assistant.
func (t Topics) Filters() []string {
	filters := []string{t.root() + "#"}
	if t.Prefix != "" {
		filters = append(filters, t.birth())
	}
	return filters
}

// Roots are the topics below which a listener may read.
func (t Topics) Roots() []string {
	roots := []string{t.Base}
	if t.Prefix != "" {
		roots = append(roots, t.Prefix)
	}
	return roots
}

// MayOrder reports whether a listener may publish to the topic: orders, of whichever hub, and the birth message.
func (t Topics) MayOrder(topic string) bool {
	if t.Prefix != "" && topic == t.birth() {
		return true
	}
	rest, ok := strings.CutPrefix(topic, t.Base+"/")
	hub, _, _ := strings.Cut(rest, "/")
	t.Hub = home.HubID(hub)
	_, _, order := t.order(topic)
	return ok && validID(hub) && order
}

// order returns the device of an order's topic; all is true for the order to the whole house.
func (t Topics) order(topic string) (id home.DeviceID, all, ok bool) {
	if topic == t.hubRekey() {
		return "", true, true
	}
	id, leaf := t.device(topic)
	return id, false, leaf == "rekey"
}

// validID reports whether a name may be a level of a topic, and the ID in a discovery topic of Home Assistant.
func validID(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// device splits a topic of a device into its ID and the last level; the level is empty for any other topic.
func (t Topics) device(topic string) (id home.DeviceID, leaf string) {
	rest, ok := strings.CutPrefix(topic, t.root()+"device/")
	name, leaf, two := strings.Cut(rest, "/")
	if !ok || !two || !validID(name) || strings.Contains(leaf, "/") {
		return "", ""
	}
	return home.DeviceID(name), leaf
}
