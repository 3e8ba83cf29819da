// Package hatest checks discovery messages against the documents of Home Assistant, for tests.
package hatest

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The documented keys, from the pages of Home Assistant's integrations: mqtt ("Device discovery payload", "Supported
// abbreviations"), sensor.mqtt, binary_sensor.mqtt and button.mqtt. A key with "!" is required.
const (
	rootKeys = "device! origin! components! availability availability_mode availability_topic " +
		"availability_template payload_available payload_not_available state_topic command_topic qos encoding"
	deviceKeys = "identifiers! connections manufacturer model model_id name hw_version serial_number sw_version " +
		"via_device suggested_area configuration_url"
	originKeys       = "name! sw_version support_url"
	availabilityKeys = "topic! payload_available payload_not_available value_template"

	entityKeys = "platform! unique_id! availability availability_mode availability_template availability_topic " +
		"default_entity_id device device_class enabled_by_default encoding entity_category entity_picture icon " +
		"json_attributes_template json_attributes_topic name object_id payload_available payload_not_available qos "
	sensorKeys = entityKeys + "state_topic! expire_after force_update last_reset_value_template options state_class " +
		"suggested_display_precision unit_of_measurement value_template"
	binarySensorKeys = entityKeys + "state_topic! expire_after force_update off_delay payload_off payload_on " +
		"value_template"
	buttonKeys = entityKeys + "command_topic! command_template payload_press retain"
)

var abbreviations = map[string]string{"dev": "device", "o": "origin", "cmps": "components"}

// classes are the documented device classes that this project uses, by platform.
var classes = map[string][]string{
	"sensor": {"enum", "timestamp"}, "binary_sensor": {"problem", "connectivity"}, "button": nil,
}

// topicRule is the documented form of a topic of device discovery: <prefix>/device/[<node_id>/]<object_id>/config.
var topicRule = regexp.MustCompile(`^[^+#]+/device/(?:[a-zA-Z0-9_-]+/)?[a-zA-Z0-9_-]+/config$`)

// Check returns an error for a discovery message that is not as documented.
func Check(topic string, payload []byte) error {
	var raw map[string]any
	if err := json.Unmarshal(payload, &raw); err != nil {
		return err
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !topicRule.MatchString(topic) {
		bad("topic %q", topic)
	}
	root := map[string]any{}
	for k, v := range raw {
		if long, ok := abbreviations[k]; ok {
			k = long
		}
		root[k] = v
	}
	keys := func(where, documented string, got any) map[string]any {
		m, ok := got.(map[string]any)
		if !ok {
			bad("%s is no object", where)
		}
		names := strings.Fields(strings.ReplaceAll(documented, "!", ""))
		for k := range m {
			if !slices.Contains(names, k) {
				bad("%s: %q is not documented", where, k)
			}
		}
		for _, k := range strings.Fields(documented) {
			if k, need := strings.CutSuffix(k, "!"); need && (m[k] == nil || m[k] == "") {
				bad("%s: %q is missing", where, k)
			}
		}
		return m
	}
	keys("the message", rootKeys, root)
	keys("device", deviceKeys, root["device"])
	keys("origin", originKeys, root["origin"])
	list, _ := root["availability"].([]any)
	for _, a := range list {
		keys("availability", availabilityKeys, a)
	}
	if mode := root["availability_mode"]; mode != nil && mode != "all" && mode != "any" && mode != "latest" {
		bad("availability_mode %v", mode)
	}
	components, _ := root["components"].(map[string]any)
	for key, c := range components {
		entity, _ := c.(map[string]any)
		platform, _ := entity["platform"].(string)
		documented, ok := map[string]string{
			"sensor": sensorKeys, "binary_sensor": binarySensorKeys, "button": buttonKeys,
		}[platform]
		if !ok {
			bad("%s: platform %q", key, platform)
			continue
		}
		keys(key, documented, entity)
		class, _ := entity["device_class"].(string)
		_, options := entity["options"]
		switch category := entity["entity_category"]; {
		case class != "" && !slices.Contains(classes[platform], class):
			bad("%s: device_class %q", key, class)
		case options != (class == "enum"), class != "" && entity["state_class"] != nil:
			bad("%s: options, device_class and state_class do not go together", key)
		case category != nil && category != "diagnostic" && !(category == "config" && platform == "button"):
			bad("%s: entity_category %v", key, category)
		}
	}
	if len(components) == 0 {
		bad("no components")
	}
	return errors.Join(errs...)
}
