package wire

var relaying = []kind{
	{"relay", Inbox, body[Relay]},
	{"relayed", Outbox, body[Relayed]},
}

// MaxRelay is how many bytes an app may send to a device, and a device answer.
const MaxRelay = 32 << 10

// Relay asks a hub to pass an app's request to a device that it holds, or a native device to carry it out, once.
type Relay struct {
	Account string `json:"account"`
	Device  string `json:"device"`
	Boot    uint64 `json:"boot,string"` // the start of the receiver that the request is for
	Until   int64  `json:"until"`       // by the receiver's clock: milliseconds since that start
	Sealed  []byte `json:"sealed"`      // at most MaxRelay bytes, sealed with RelayInfo: it may hold a password
}

func (b *Relay) check() error { return names(b.Account, b.Device) }

// Relayed answers Relay.
type Relayed struct {
	Account string `json:"account"`
	Device  string `json:"device"`
	Code    string `json:"code,omitempty"`   // absent when the device has answered
	Sealed  []byte `json:"sealed,omitempty"` // the device's answer, sealed with RelayInfo
}

func (b *Relayed) check() error { return first(names(b.Account, b.Device), text(b.Code)) }
