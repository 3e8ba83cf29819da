package discover

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"

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

type kasa struct{}

func (kasa) Port() uint16 { return home.IOT.Port() }

func (kasa) Datagrams() [][]byte {
	return [][]byte{xor.Seal([]byte(`{"system":{"get_sysinfo":{}},"cnCloud":{"get_info":{}},` +
		`"smartlife.iot.common.cloud":{"get_info":{}},"smartlife.cam.ipcamera.cloud":{"get_info":{}}}`))}
}

// kasaReply is the answer of a device on port 9999, as far as it is read.
type kasaReply struct {
	System struct {
		Info kasaInfo `json:"get_sysinfo"`
	} `json:"system"`
	Plug   kasaCloud `json:"cnCloud"`
	Bulb   kasaCloud `json:"smartlife.iot.common.cloud"`
	Camera kasaCloud `json:"smartlife.cam.ipcamera.cloud"`
}

type kasaInfo struct {
	DeviceID string    `json:"deviceId"`
	MAC      string    `json:"mac"`
	MicMAC   string    `json:"mic_mac"`
	Type     string    `json:"type"`
	MicType  string    `json:"mic_type"`
	Model    string    `json:"model"`
	DevName  string    `json:"dev_name"`
	Alias    string    `json:"alias"`
	Nested   *kasaInfo `json:"system"` // cameras nest it
}

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
	i := r.System.Info
	if i.Nested != nil {
		i = *i.Nested
	}
	s := home.Sighting{
		Source: "iot-udp", Protocol: home.IOT, Match: home.Unknown,
		Name: nameplate.Text(i.Alias), Model: nameplate.Text(i.Model), Kind: kasaKind(i),
	}
	if s.Kind == home.Camera {
		// Every other request goes to the port of the camera protocol.
		s.Protocol, s.Addr = home.KasaCam, netip.AddrPortFrom(netip.Addr{}, home.KasaCam.Port())
	}
	addMAC(&s, cmp.Or(i.MAC, i.MicMAC))
	if id := nameplate.Digits(i.DeviceID, 40); id != "" {
		s.Keys = append(s.Keys, "iot:"+strings.ToUpper(id))
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

// kasaKind derives the kind from the type and the model that the device states.
func kasaKind(i kasaInfo) home.Kind {
	model := strings.ToUpper(i.Model)
	switch typ := strings.ToUpper(cmp.Or(i.Type, i.MicType)); {
	case strings.Contains(typ, "SMARTBULB"):
		return home.Bulb
	case strings.Contains(typ, "IPCAMERA"):
		return home.Camera
	case !strings.Contains(typ, "SMARTPLUGSWITCH"):
		return home.Other
	case isSwitch(model):
		return home.Switch
	case strings.Contains(strings.ToLower(i.DevName), "switch") && !strings.Contains(strings.ToLower(i.DevName), "plug"):
		return home.Switch
	}
	return home.Plug
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
