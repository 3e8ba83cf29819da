package cloudlink

import (
	"encoding/json"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// DeviceState is what a device's state topic says, retained: for whoever may read the broker. No secrets, no e-mail address.
type DeviceState struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Kind    string    `json:"kind"`
	Verdict string    `json:"verdict"`
	Epoch   uint64    `json:"epoch"`
	Since   time.Time `json:"since"`
}

// Message returns the state as it is published. The state of a device that was unbound is an empty message: it clears the topic.
func (s DeviceState) Message() mqtt.Message {
	m := mqtt.Message{Topic: wire.StateTopic(s.ID), Retained: true}
	if s.Verdict != "" {
		m.Payload, _ = json.Marshal(s) // cannot fail
	}
	return m
}
