package device

import "github.com/rekeyd/rekeyd/daemon/home"

// A maker's program imports this package alone: these are the words of it that others define.
type (
	Kind  = home.Kind  // of a device
	Epoch = home.Epoch // generation of the account's password
)

// The kinds of devices.
const (
	Camera = home.Camera
	Plug   = home.Plug
	Switch = home.Switch
	Bulb   = home.Bulb
	Other  = home.Other
)
