package home

import (
	"fmt"
	"time"
)

// Damage is a record of the hub's store that could not be read. The store keeps it apart, and goes on without it.
type Damage struct {
	Record string    `json:"record"` // one of the Damaged constants
	Device DeviceID  `json:"device,omitempty"`
	Name   string    `json:"name,omitempty"` // of the device, for people
	Epoch  Epoch     `json:"epoch,omitempty"`
	At     time.Time `json:"at"`
}

// The records that can be set aside. The store repairs all but the first three by itself.
const (
	DamagedDevice   = "device"   // a binding, or its device or secret: the device is not moved any more
	DamagedPassword = "password" // of Damage.Epoch, or an earlier one that the owner remembered
	DamagedSession  = "session at the vendor's cloud"
	DamagedIntent   = "intent"
	DamagedSignIns  = "sign-ins"
	DamagedBudget   = "sign-in budget"
	DamagedErrand   = "message to the account service"
	DamagedLeftOut  = "device left out"
	DamagedEvent    = "line of the history"
	DamagedHub      = "counter of the hub"
)

// String names the record for people.
func (d Damage) String() string {
	s := d.Record
	if d.Name != "" {
		s += " " + d.Name
	}
	if d.Epoch != 0 {
		s += fmt.Sprintf(" (password %d)", d.Epoch)
	}
	return s
}

// Hint returns in one sentence what a person can do. It is empty where the store has repaired the damage.
func (d Damage) Hint() string {
	switch d.Record {
	case DamagedDevice:
		return "bind the device again, with: rekeyd bind " + InCommand(d.Name)
	case DamagedPassword:
		return "sign in again, with: rekeyd login EMAIL; give an earlier password that you remember with: rekeyd import"
	case DamagedSession:
		return "sign in again, with: rekeyd login EMAIL"
	}
	return ""
}
