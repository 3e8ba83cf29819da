package homeassistant

import (
	"encoding/json"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// deviceState is the retained message of a device. It holds no secret, no address and no e-mail address.
type deviceState struct {
	Name         string     `json:"name"`
	Kind         home.Kind  `json:"kind"`
	Verdict      home.State `json:"verdict"`
	Reason       string     `json:"reason"`
	WhatToDo     string     `json:"what_to_do"`
	Attention    string     `json:"needs_attention"` // "ON" or "OFF"
	Password     *uint64    `json:"password"`        // number of the password that it holds; null where that is not known
	Rekeyed      *string    `json:"rekeyed"`         // RFC 3339; null for never
	Availability string     `json:"availability"`    // "online" or "offline"
}

// hubState is the retained message of the hub.
type hubState struct {
	Epoch     uint64 `json:"epoch"`
	Devices   int    `json:"devices"`
	Kept      int    `json:"kept"`
	Moving    int    `json:"moving"`
	NeedYou   int    `json:"need_you"`
	Attention string `json:"needs_attention"` // "ON" or "OFF"
	Link      string `json:"link"`            // "ON" or "OFF"
	Reason    string `json:"reason"`          // why the link is down
	Version   string `json:"version"`
}

// Payloads of a topic of availability; Home Assistant's birth message is the first one, too.
const (
	Online  = "online"
	Offline = "offline"
)

const maxText = 250 // runes of a reason

func onOff(on bool) string {
	if on {
		return "ON"
	}
	return "OFF"
}

// stateOf returns the state of a bound device.
func stateOf(r daemon.Row) deviceState {
	s := deviceState{
		Name: r.Label(), Kind: r.Kind, Verdict: r.Verdict, Reason: daemon.Clean(r.Detail, maxText),
		WhatToDo: daemon.Clean(r.Hint, maxText), Attention: onOff(r.Group() == daemon.NeedsYou), Availability: Online,
	}
	if r.Left || r.Verdict == home.Unreachable {
		s.Availability = Offline
	}
	if r.Epoch != 0 {
		n := uint64(r.Epoch)
		s.Password = &n
	}
	if !r.Rekeyed.IsZero() {
		at := r.Rekeyed.UTC().Format(time.RFC3339)
		s.Rekeyed = &at
	}
	return s
}

// stateOfHub returns the state of the hub.
func stateOfHub(s daemon.Status, version string) hubState {
	sum := daemon.Summarize(s.Devices)
	return hubState{
		Epoch: uint64(s.Epoch), Devices: sum.Bound(), Kept: sum.Kept, Moving: sum.Moving, NeedYou: sum.Need,
		Attention: onOff(sum.Need > 0 || len(s.Troubles) > 0), Link: onOff(s.Link == "up"),
		Reason: daemon.Clean(s.Reason, maxText), Version: version,
	}
}

func encode(v any) []byte {
	raw, _ := json.Marshal(v) // cannot fail: texts, numbers and pointers to them
	return raw
}
