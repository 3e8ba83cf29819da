package sim

import (
	"encoding/hex"
	"encoding/json"
	"net"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// encode returns the JSON of an answer, which has texts and numbers only and therefore always has one.
func encode(answer any) []byte {
	raw, err := json.Marshal(answer)
	if err != nil {
		panic("an answer of texts and numbers: " + err.Error())
	}
	return raw
}

// result is an answer of a SMART device: a code, and a result unless that is nil.
func result(code int, of any) map[string]any {
	out := map[string]any{"error_code": code}
	if of != nil {
		out["result"] = of
	}
	return out
}

// dashed is a hardware address as Tapo devices write it: 5C-E9-31-00-00-01.
func dashed(mac net.HardwareAddr) string {
	return strings.ToUpper(strings.ReplaceAll(mac.String(), ":", "-"))
}

// stated returns the hardware address that a device states: another one for an impostor.
func (s Spec) stated(mac net.HardwareAddr) net.HardwareAddr {
	if !s.has(Impostor) {
		return mac
	}
	other := append(net.HardwareAddr(nil), mac...)
	other[2] ^= 0xff
	return other
}

// idOf is the ID under which a hub lists a device that it knows by its hardware address.
func idOf(mac net.HardwareAddr) home.DeviceID { return home.DeviceID("mac-" + hex.EncodeToString(mac)) }
