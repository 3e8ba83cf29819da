package sim

import (
	"encoding/hex"
	"fmt"
	"net"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// hapPort is the HomeKit port that an iot device announces. Nothing listens there.
const hapPort = 51826

// announcement returns that of HomeKit: Kasa devices have no service of their own, but some of them have that
// (devices/PROTOCOLS.md, section 13.2).
func (d *iot) announcement() announcement {
	id := append(net.HardwareAddr{0x02}, d.mac[1:]...) // looks like a hardware address, and is none
	category := map[home.Kind]int{home.Bulb: 5, home.Plug: 7, home.Switch: 8, home.Camera: 17}[d.model.kind]
	return announcement{
		instance: d.spec.Name, service: "_hap._tcp.local.", addr: d.spec.Addr, port: hapPort,
		host: strings.ToLower(d.model.name) + "-" + hex.EncodeToString(d.mac[3:]) + ".local.",
		txt: []string{
			"id=" + strings.ToUpper(id.String()), "md=" + d.model.full, fmt.Sprintf("ci=%d", category),
			"c#=1", "s#=1", "sf=0", "ff=0", "pv=1.1",
		},
	}
}
