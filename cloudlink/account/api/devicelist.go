package api

import (
	"encoding/base64"
	"strings"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// listed is a device as the vendor's clients know one.
type listed struct {
	DeviceType   string `json:"deviceType"`
	Role         int    `json:"role"`
	FwVer        string `json:"fwVer"`
	AppServerURL string `json:"appServerUrl"`
	DeviceRegion string `json:"deviceRegion"`
	DeviceID     string `json:"deviceId"`
	DeviceName   string `json:"deviceName"`
	DeviceHwVer  string `json:"deviceHwVer"`
	Alias        string `json:"alias"`
	DeviceMac    string `json:"deviceMac"`
	OEMID        string `json:"oemId"`
	DeviceModel  string `json:"deviceModel"`
	HwID         string `json:"hwId"`
	FwID         string `json:"fwId"`
	IsSameRegion bool   `json:"isSameRegion"`
	Status       int    `json:"status"` // 1 when signed in at the newest epoch
}

// deviceTypes is how the vendor names the types of a family of devices, and how it writes their names.
type deviceTypes struct {
	plug, bulb, toggle, camera string
	base64Alias                bool
}

var (
	iotTypes   = deviceTypes{"IOT.SMARTPLUGSWITCH", "IOT.SMARTBULB", "IOT.SMARTPLUGSWITCH", "IOT.IPCAMERA", false}
	smartTypes = deviceTypes{"SMART.TAPOPLUG", "SMART.TAPOBULB", "SMART.TAPOSWITCH", "SMART.IPCAMERA", true}
)

// typesOf has every protocol of package home. Native devices and NC cameras are listed as Kasa devices: their apps
// show plain names. Which type the vendor has for NC cameras is not known.
var typesOf = map[home.Protocol]deviceTypes{
	home.Native: iotTypes, home.IOT: iotTypes, home.KLAP1: iotTypes,
	home.IOTKLAP2: iotTypes, home.KasaCam: iotTypes, home.NC: iotTypes,
	home.KLAP2: smartTypes, home.SmartAES: smartTypes,
	home.TapoCam: smartTypes, home.TPAP: smartTypes,
}

// of returns the type of a kind of device. The vendor has no type for other kinds: they are listed as plugs.
func (t deviceTypes) of(k home.Kind) string {
	switch k {
	case home.Camera:
		return t.camera
	case home.Bulb:
		return t.bulb
	case home.Switch:
		return t.toggle
	}
	return t.plug
}

// deviceList lists devices to a door. A protocol that this version does not know is listed as an IOT device.
func deviceList(ds []account.DeviceInfo, door, base string) []listed {
	ls := []listed{}
	for _, d := range ds {
		if !account.Shown(d.Model, door) {
			continue
		}
		types, ok := typesOf[home.Protocol(d.Protocol)]
		if !ok {
			types = iotTypes
		}
		l := listed{
			DeviceType: types.of(home.Kind(d.Kind)), AppServerURL: base, DeviceRegion: "local", DeviceID: d.ID,
			DeviceName: d.Model,
			Alias:      d.Name, DeviceMac: strings.ToUpper(d.MAC), DeviceModel: d.Model, IsSameRegion: true,
		}
		if types.base64Alias {
			l.Alias = base64.StdEncoding.EncodeToString([]byte(d.Name))
		}
		if d.SignedIn {
			l.Status = 1
		}
		ls = append(ls, l)
	}
	return ls
}
