package home

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Kind is the kind of a device, as the people of the house see it.
type Kind string

// The kinds of devices. A device of no other kind is Other: it is shown, and left alone.
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

// Match is the owner of a device, as far as the device itself shows it.
type Match string

// The matches. Ours may be a mere claim: the rules of the driver decide whether the new credential is sent.
const (
	Ours    Match = "ours"
	Foreign Match = "foreign" // bound to another account: shown, never touched
	Unbound Match = "unbound"
	Unknown Match = "unknown" // the device does not show it
)

// Device is a camera, plug, switch, bulb or another device that was found on the LAN.
type Device struct {
	ID       DeviceID
	Name     string
	Kind     Kind
	Protocol Protocol
	Model    string
	Addr     netip.AddrPort   // where the protocol's port was last seen; invalid when it was never seen
	AlsoAt   []netip.AddrPort // other addresses where the device claims to be; see Sighting.AlsoAt
	Keys     []string         // every identity the device was seen under; see Sighting.Keys
	Seen     time.Time        // UTC; kept in memory, written with other changes only

	Owner string // see Sighting.Owner
	Extra JSON   // see Sighting.Extra
}

// hardwareKeys are the classes of keys that a device keeps for life, strongest first: its signing key, its hardware
// address, and the serial number that its maker gave it.
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

// JSON is a JSON value that was received, and stands in other JSON as it is.
type JSON string

// MarshalJSON returns the value itself.
func (j JSON) MarshalJSON() ([]byte, error) {
	if j == "" {
		return []byte("null"), nil
	}
	return []byte(j), nil
}

// UnmarshalJSON accepts any value.
func (j *JSON) UnmarshalJSON(raw []byte) error {
	*j = JSON(raw)
	return nil
}

// NoOwner is the Owner of a device that announces that it belongs to no account.
const NoOwner = "none"

// OwnerOf returns the Owner that a device announces after it was set up with this e-mail address: its MD5
// (devices/PROTOCOLS.md, section 6.3). An attacker who guesses the address can check the guess.
func OwnerOf(email string) string {
	h := md5.Sum([]byte(email))
	return hex.EncodeToString(h[:])
}

// Claims returns the match that the device's announcement claims, for use where nothing better is known. A device
// hashes the address in the letter case in which it was typed: see Spelling.
func (d Device) Claims(email string) Match {
	if d.Owner == "" || email == "" {
		return Unknown
	}
	if d.Owner == NoOwner {
		return Unbound
	}
	if _, ok := Spelling(email, d.Owner); ok {
		return Ours
	}
	return Foreign
}

// Sighting is one observation of a device on the LAN. It is a hint: any host on the LAN can announce anything.
type Sighting struct {
	Source   string   // "mdns", "iot-udp"; for people and logs
	Protocol Protocol // empty where the observation does not show it

	// Keys are the identities in the observation, strongest first: "rk:…", "mac:50c7bf010203", "iot:8006…", "hap:…",
	// "mdns:instance._type".
	Keys []string

	Name   string           // for people, unescaped; may be empty
	Kind   Kind             // Other where the observation does not show it
	Model  string           // may be empty
	Addr   netip.AddrPort   // IPv4 preferred where both are known
	Addrs  []netip.Addr     // all announced addresses, each inside the subnets of an allowed interface, or a target
	AlsoAt []netip.AddrPort // other addresses from which replies with these keys came: one of them lies, or relays
	Match  Match            // Unknown where the source does not show it
	Owner  string           // OwnerOf the e-mail address, or NoOwner; empty where the observation has none
	Extra  JSON             // an object with the other fields of the observation, at most 2 KiB, no secret; may be empty
	Gone   bool             // it sent a goodbye, or was absent for long enough
	At     time.Time
}
