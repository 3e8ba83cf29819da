package home

import "strings"

// Provider names whose account service an account is at.
type Provider string

// The providers. An account that names none is at this project's own service.
const (
	ProviderHome   Provider = "home"   // it signs notices and seals grants: a hub hears of a reset, and is told the new password
	ProviderTPLink Provider = "tplink" // TP-Link's own cloud: it can neither, so the owner types the new password once
)

// CloudSession is a sign-in of this hub at a cloud that knows nothing of hubs.
type CloudSession struct {
	URL     string // of the region that the account is in
	Token   Secret
	Refresh Secret // empty where the cloud gave none
	Ended   bool   // the cloud takes neither of the two any more: only the owner can begin another
}

// Listed is a device as the list of an account names it.
type Listed struct {
	ID     string // as the cloud calls it
	MAC    string // twelve lower-case hexadecimal digits; empty when not told
	Name   string
	Model  string
	Kind   Kind
	Online bool // at the cloud, as the cloud says
}

// Is tells whether the device that was seen under these keys is the one in the list.
func (l Listed) Is(keys []string) bool {
	for _, k := range keys {
		if l.MAC != "" && k == "mac:"+l.MAC || l.ID != "" && strings.EqualFold(k, "iot:"+l.ID) {
			return true
		}
	}
	return false
}
