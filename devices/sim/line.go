package sim

import (
	"net/netip"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Line is a device as it is printed for other test programs, its password included.
type Line struct {
	ID       home.DeviceID `json:"id"`
	Kind     home.Kind     `json:"kind"`
	Protocol home.Protocol `json:"protocol"`
	Addr     netip.Addr    `json:"addr"`
	Port     uint16        `json:"port"`
	Username string        `json:"username"`
	Password string        `json:"password"`
}

// Line returns the device as one line of JSON, without the line's end. The password is there on purpose: it is made up.
func (d *Device) Line() []byte {
	return encode(Line{
		ID: d.ID(), Kind: d.Kind(), Protocol: d.Protocol(), Addr: d.spec.Addr, Port: d.body.port(),
		Username: d.Username(), Password: d.Password().Reveal(),
	})
}
