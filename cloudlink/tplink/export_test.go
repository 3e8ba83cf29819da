package tplink

import "github.com/rekeyd/rekeyd/daemon/home"

// ReadListed reads an entry of the list.
func ReadListed(kind, alias, mac, model string) home.Listed {
	return listed{DeviceType: kind, Alias: alias, DeviceMac: mac, DeviceModel: model}.device()
}
