package home

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Kind is what a device is to the people who live with it.
type Kind string

// The kinds of devices. Whatever is none of the four is Other: it is shown, and left alone.
const (
	Camera Kind = "camera"
	Plug   Kind = "plug"
	Switch Kind = "switch"
	Bulb   Kind = "bulb"
	Other  Kind = "other"
)

// ParseKind returns the kind that s names; the words are those of the constants.
func ParseKind(s string) (Kind, error) {
	switch k := Kind(strings.ToLower(s)); k {
	case Camera, Plug, Switch, Bulb, Other:
		return k, nil
	}
	return "", fmt.Errorf("kind %q: want camera, plug, switch, bulb or other", s)
}

// Match says whose a device is, as it tells itself.
type Match string

// Whose a device is. Ours is only what a device claims: the new credential goes to it by the rules of its driver.
const (
	Ours    Match = "ours"
	Foreign Match = "foreign" // bound to another account: shown, never touched
	Unbound Match = "unbound"
	Unknown Match = "unknown" // the device did not say
)

// Device is a camera, plug, switch or bulb (or something else) that was found on the LAN.
type Device struct {
	ID       DeviceID
	Name     string
	Kind     Kind
	Protocol Protocol
	Model    string
	Addr     netip.AddrPort // where the protocol's port was last seen; invalid when it was never seen
	Keys     []string       // every identity the device was seen under; see Sighting.Keys
	Seen     time.Time      // UTC; kept in memory, written with other changes only

	Owner string `json:",omitempty"` // see Sighting.Owner
	Extra JSON   `json:"-"`          // see Sighting.Extra
}

// hardwareKeys are the classes of keys that a device keeps for life, strongest first: its signing key, its hardware address, and
// the serial number that its maker gave it.
var hardwareKeys = []string{"rk:", "mac:", "iot:"}

// HardwareKeys returns those of the device's keys that it keeps for life, strongest first.
func (d Device) HardwareKeys() []string {
	var keys []string
	for _, class := range hardwareKeys {
		for _, k := range d.Keys {
			if strings.HasPrefix(k, class) {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// JSON is a value as somebody else said it, in the form in which it goes into other JSON.
type JSON string

// MarshalJSON returns the value itself.
func (j JSON) MarshalJSON() ([]byte, error) {
	if j == "" {
		return []byte("null"), nil
	}
	return []byte(j), nil
}

// UnmarshalJSON takes any value.
func (j *JSON) UnmarshalJSON(raw []byte) error {
	*j = JSON(raw)
	return nil
}

// NoOwner is what Owner is of a device that says that it belongs to nobody.
const NoOwner = "none"

// OwnerOf returns what a device says of its owner that was set up with this e-mail address: its MD5 (devices/PROTOCOLS.md, section 6.3). It hides
// the address from nobody who can guess it.
func OwnerOf(email string) string {
	h := md5.Sum([]byte(email))
	return hex.EncodeToString(h[:])
}

// Claims says whose the device is by what it said when it was found: hearsay, to be believed only where nothing better is known. Devices
// hash the address in the letter case in which it was typed, so that in lower case counts, too.
func (d Device) Claims(email string) Match {
	switch {
	case d.Owner == "" || email == "":
		return Unknown
	case d.Owner == NoOwner:
		return Unbound
	case d.Owner == OwnerOf(email), d.Owner == OwnerOf(strings.ToLower(email)):
		return Ours
	}
	return Foreign
}

// Sighting is one observation of a device on the LAN. It is a hint and no more: whoever is on the LAN can announce anything.
type Sighting struct {
	Source   string         // "mdns", "iot-udp"; for people and logs
	Protocol Protocol       // empty when the observation does not tell
	Keys     []string       // identities that it gives, strongest first: "rk:…", "mac:50c7bf010203", "iot:8006…", "hap:…", "mdns:instance._type"
	Name     string         // for people, unescaped; may be empty
	Kind     Kind           // Other when not told
	Model    string         // may be empty
	Addr     netip.AddrPort // IPv4 preferred where both are known
	Addrs    []netip.Addr   // all addresses that were told, each inside the subnets of an allowed interface
	Match    Match          // whose it says it is, for sources that tell; else Unknown
	Owner    string         // what it said of its owner: OwnerOf of the e-mail address, or NoOwner; empty where it did not say
	Extra    JSON           // an object of what else it said that nobody here reads; at most 2 KiB, no secret in it; empty for nothing
	Gone     bool           // it said goodbye, or has not been heard for long enough
	At       time.Time
}
