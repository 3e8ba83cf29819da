package cloudlink

import (
	"encoding/json"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// DeviceState is the retained message of a device's state topic. It holds no secret and no e-mail address.
type DeviceState struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Kind    string    `json:"kind"`
	Verdict string    `json:"verdict"`
	Epoch   uint64    `json:"epoch,string"`
	Since   time.Time `json:"since"`
}

// message returns the state as it is published. A state without a verdict, of a device that was unbound, is an empty message:
// it clears the topic.
func (s DeviceState) message(account home.AccountID) mqtt.Message {
	m := mqtt.Message{Topic: wire.StateTopic(string(account), s.ID), Retained: true}
	if s.Verdict != "" {
		m.Payload, _ = json.Marshal(s) // cannot fail
	}
	return m
}
