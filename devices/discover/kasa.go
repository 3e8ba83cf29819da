package discover

import (
	"encoding/json"
	"errors"
	"net/netip"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/nameplate"
	"github.com/rekeyd/rekeyd/devices/xor"
)

// Probe is a question to all devices of a subnet, asked by UDP broadcast. Its methods may be called by several
// goroutines.
type Probe interface {
	Port() uint16        // where devices listen, and answer from
	Datagrams() [][]byte // the question, in every form; it may differ from sweep to sweep
	// Read returns the sighting of a reply. Its address and time are filled in by the caller where they are zero.
	// An error means that it was no reply to this question.
	Read(reply []byte) (home.Sighting, error)
}

// Kasa returns the probe that devices of the iot protocol answer, on port 9999: one reply states identity and owner.
func Kasa() Probe { return kasa{} }

// kasa is the probe of port 9999. It has no state.
type kasa struct{}

func (kasa) Port() uint16 { return home.IOT.Port() }

// Datagrams implements Probe. All three cloud modules are asked in one datagram: a device answers those that it has.
func (kasa) Datagrams() [][]byte {
	return [][]byte{xor.Seal([]byte(`{"system":{"get_sysinfo":{}},"cnCloud":{"get_info":{}},` +
		`"smartlife.iot.common.cloud":{"get_info":{}},"smartlife.cam.ipcamera.cloud":{"get_info":{}}}`))}
}

// kasaReply is the answer of a device on port 9999, as far as it is read.
type kasaReply struct {
	System struct {
		Info nameplate.Sysinfo `json:"get_sysinfo"`
	} `json:"system"`
	Plug   kasaCloud `json:"cnCloud"`
	Bulb   kasaCloud `json:"smartlife.iot.common.cloud"`
	Camera kasaCloud `json:"smartlife.cam.ipcamera.cloud"`
}

// kasaCloud is the answer to get_info of a cloud module; nil where the device has no such module.
type kasaCloud struct {
	Info *struct {
		Username string `json:"username"`
		Binded   *int   `json:"binded"`
	} `json:"get_info"`
}

var errNoReply = errors.New("not a reply to this probe")

// Read implements Probe.
func (kasa) Read(reply []byte) (home.Sighting, error) {
	var r kasaReply
	if err := json.Unmarshal(xor.Open(reply), &r); err != nil {
		return home.Sighting{}, errNoReply // the decoder's words would quote what a stranger sent
	}
	p := r.System.Info.Plate()
	s := home.Sighting{
		Source: "iot-udp", Protocol: home.IOT, Match: home.Unknown, Keys: p.Keys, Name: p.Name, Model: p.Model, Kind: p.Kind,
	}
	if s.Kind == home.Camera {
		// Every other request goes to the port of the camera protocol.
		s.Protocol, s.Addr = home.KasaCam, netip.AddrPortFrom(netip.Addr{}, home.KasaCam.Port())
	}
	if len(s.Keys) == 0 {
		return home.Sighting{}, errNoReply
	}
	for _, c := range []kasaCloud{r.Plug, r.Bulb, r.Camera} {
		if c.Info == nil || c.Info.Binded == nil {
			continue
		}
		// binded is to be trusted, username not: it stays behind after a reset.
		if *c.Info.Binded == 0 {
			s.Match, s.Owner = home.Unbound, home.NoOwner
		} else {
			s.Owner = home.OwnerOf(c.Info.Username)
		}
		break
	}
	return s, nil
}

// withAddr fills in what the caller of Probe.Read knows.
func withAddr(s home.Sighting, from netip.AddrPort) home.Sighting {
	if !s.Addr.IsValid() {
		port := s.Addr.Port() // the protocol's, where it is another than the one from which the reply came
		if port == 0 {
			port = from.Port()
		}
		s.Addr = netip.AddrPortFrom(from.Addr(), port)
	}
	s.Addrs = []netip.Addr{s.Addr.Addr()}
	return s
}
