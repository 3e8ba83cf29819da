// Package home holds the words of rekeyd and the rules that need nothing but them: the account and its epochs, the hub,
// the devices of a house, what binds a device to an account, and what a probe found a device to hold.
//
// It imports only the standard library. Every other package may import it; it knows none of them.
package home

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// AccountID names one account at one provider. It is opaque, and no secret.
type AccountID string

// HubID names a hub. It is derived from the hub's signing key, so a hub cannot take another hub's name.
type HubID string

// DeviceID names a device under an identity that survives a new IP address: "mac-50c7bf010203" where the hardware address is
// known, "rk-…" (derived from the device's own key) for a device that speaks the link, else one made of what it announces.
// It consists of [a-z0-9-] only, so that it can stand in an MQTT topic and in a Home Assistant identifier.
type DeviceID string

// Provider is whose cloud an account is at.
type Provider string

// Home is rekeyd's own account service, or another that speaks its protocol; it is what no name means. TPLink is the vendor's cloud.
const (
	Home   Provider = ""
	TPLink Provider = "tplink"
)

// CloudSession is what a hub is signed in to the vendor's cloud with.
type CloudSession struct {
	URL            string // where the account's region is
	Token, Refresh Secret // zero when the cloud has ended them
}

// Listed is a device as the vendor's cloud lists it.
type Listed struct {
	MAC    string `json:"mac"` // twelve lower hexadecimal digits
	Name   string `json:"name"`
	Model  string `json:"model"`
	Online bool   `json:"online"`
}

// Account is one e-mail address at one provider, as this hub knows it.
type Account struct {
	ID       AccountID
	Provider Provider `json:",omitempty"`
	Email    string   // as registered: devices hash it in the letter case in which it was typed
	Epoch    Epoch    // the newest epoch whose grant is in the vault

	ServiceKey  []byte   // the account service's Ed25519 key, pinned when the hub enrolled
	ServiceSeal []byte   // the account service's X25519 key, to seal binding secrets to
	Notice      []byte   // hash of the newest notice that was accepted; the next one must name it
	NoticeEpoch Epoch    // the epoch which that notice began; newer than Epoch while the grant is outstanding
	NoticeJSON  []byte   // that notice as it came, signed, to pass on to devices that speak the link
	Brokers     []string // MQTT broker URLs, in the order in which they are tried
	URL         string   // the account service's base URL

	// CleartextBind is the owner's word that passwords may go nearly in the clear over the LAN, and to devices that prove nothing before
	// they are told. Without it such devices are shown, and left as they are.
	CleartextBind  bool
	CleartextAsked bool // the owner was asked
}

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

// Protocol names the driver that speaks to a device. It is empty for a device that was only seen announced.
type Protocol string

// The protocols that are told apart. Those that the vendor's devices speak stand in tp-link-devices.md, 2.3.
const (
	Native   Protocol = "native"    // the link protocol itself: devices/native/README.md
	IOT      Protocol = "iot"       // Kasa, XOR on port 9999
	KLAP1    Protocol = "klap1"     // IOT commands over KLAP version 1
	IOTKLAP2 Protocol = "iot-klap2" // IOT commands over KLAP version 2
	KLAP2    Protocol = "klap2"     // SMART commands over KLAP version 2
	SmartAES Protocol = "smart-aes" // SMART commands over AES securePassthrough
	TapoCam  Protocol = "tapocam"   // Tapo cameras, SSL-AES
	KasaCam  Protocol = "kasacam"   // Kasa cameras, LINKIE
	TPAP     Protocol = "tpap"      // SPAKE2+
)

// Cleartext tells whether devices of the protocol are told a password nearly in the clear, or before they have proved anything. Their owner
// has to agree: Account.CleartextBind. Other protocols have old firmware of that kind, too: their drivers know it when they meet it.
func (p Protocol) Cleartext() bool { return p == IOT || p == SmartAES }

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

// OwnerOf returns what a device says of its owner that was set up with this e-mail address: its MD5 (tp-link-devices.md, 2.2). It hides
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

// Binding is that a device belongs to an account, and how far each of its two ends has come.
type Binding struct {
	Device      DeviceID
	Account     AccountID
	DeviceEpoch Epoch     // newest epoch that a probe saw the device hold; 0 when none was seen
	CloudEpoch  Epoch     // newest epoch at which the account confirmed the device's sign-in; 0 when none
	Announced   bool      // the account service has answered that it knows the binding
	Verdict     Verdict   // what the last probe found
	Since       time.Time // when Verdict last changed, UTC
	Tries       int       // rekeys begun since the device was last current
	Next        time.Time // not to be touched before; zero when at once
	Moved       time.Time // when it was first seen to hold DeviceEpoch; zero when that is long settled
	Locked      time.Time // until when it said that it takes no sign-ins, whatever was found since
	Reverts     int       // how often it was seen to have given DeviceEpoch up again, since it was moved there
}

// Current tells whether both ends of the binding were seen to hold newest.
func (b Binding) Current(newest Epoch) bool {
	return b.Verdict.State == Current && b.DeviceEpoch == newest && b.CloudEpoch == newest
}

// Observed returns the binding after a probe found v, with the account at newest. A device that gives an epoch up which it held (its cloud
// or its firmware took it back) is moved there once more; when it gives that up, too, it is reverted, and its owner's business.
func (b Binding) Observed(v Verdict, newest Epoch, at time.Time) Binding {
	v = v.Against(newest)
	if v.State == Current && v.Epoch != newest {
		v.State = Stale // ahead of what this hub has a grant for; current when the grant is here
	}
	if b.DeviceEpoch == newest && newest != 0 && v.Epoch <= newest && b.Verdict.State.kept() && v.State.movable() {
		b.Reverts++
	}
	if b.Reverts > 1 && v.State.movable() {
		v.State = Reverted
	}
	if !v.Same(b.Verdict) {
		b.Since = at
	}
	was := b.Verdict.State
	b.Verdict = v
	switch {
	case v.State == Current:
		switch {
		case was != "" && (b.DeviceEpoch != v.Epoch || !was.kept()):
			b.Moved = at
		case !b.Moved.IsZero() && at.Sub(b.Moved) > SettleTime:
			b.Moved, b.Reverts = time.Time{}, 0
		}
		b.DeviceEpoch, b.Tries, b.Next = v.Epoch, 0, time.Time{}
	case v.State == Stale && v.Epoch != 0:
		b.DeviceEpoch = v.Epoch
	case v.State == LockedOut:
		if b.Locked = v.Until; v.Until.After(b.Next) {
			b.Next = v.Until // also after a restart
		}
	}
	return b
}

// When a device that was moved is looked at once more, and when that is settled: what its cloud takes back it takes back within minutes,
// or when it next speaks to it.
const (
	GlanceTime = 5 * time.Minute
	SettleTime = 24 * time.Hour
)

// Glance returns when a device that was moved is to be looked at again at the latest, because it may have gone back; ok is false where
// that is settled.
func (b Binding) Glance(now time.Time) (at time.Time, ok bool) {
	switch {
	case b.Moved.IsZero() || b.Verdict.State != Current:
		return at, false
	case now.Sub(b.Moved) < GlanceTime:
		return b.Moved.Add(GlanceTime), true
	}
	return b.Moved.Add(SettleTime + time.Second), true
}

// Intent is written to disk before a device is touched and forgotten after its end was seen. After a crash it says what the
// device may hold: a probe decides.
type Intent struct {
	Device DeviceID
	Holds  []Epoch // every epoch the device may hold, the target included; ascending, no doubles
	To     Epoch
	At     time.Time
}

// Supersede returns the intent to move the device to `to`, which may already be under way to an older epoch. It refuses
// with ErrOldEpoch to go back.
func (i Intent) Supersede(to Epoch, at time.Time) (Intent, error) {
	if to < i.To {
		return i, fmt.Errorf("intent for epoch %d, asked for %d: %w", i.To, to, ErrOldEpoch)
	}
	i.Holds = withEpoch(i.Holds, to)
	i.To, i.At = to, at
	return i, nil
}

// NewIntent returns the intent to move a device that holds from (0 when that is unknown) to `to`.
func NewIntent(d DeviceID, from, to Epoch, at time.Time) Intent {
	i := Intent{Device: d, To: to, At: at}
	i.Holds = withEpoch(i.Holds, to)
	if from != 0 {
		i.Holds = withEpoch(i.Holds, from)
	}
	return i
}

// HubKeys are the seeds of the hub's two key pairs, 32 random bytes each.
type HubKeys struct{ Sign, Seal Secret }

// Credential is what opens a device at an epoch.
type Credential struct {
	Epoch       Epoch  // 0 for an earlier password that the owner remembers: which epoch it was of is not known
	Username    string // the account's e-mail as registered
	Password    Secret // empty where the hub was never told it
	EpochSecret Secret // 32 bytes; empty for a password from before the hub enrolled
}

// Candidates is what a probe may find a device to hold.
type Candidates struct {
	Account     Account
	Credentials []Credential // newest epoch first; those without an epoch last
	Recorded    Epoch        // what the device was last seen or set to hold, for protocols that cannot tell; 0 for never
}

// Move is what a driver needs to bring a device to the newest epoch.
type Move struct {
	Account  Account
	From, To Credential   // From is zero where it is unknown what the device holds, or it holds nothing
	Known    []Credential // all that the device may hold, the newest first, To among them
}

// Finding is what a probe found.
type Finding struct {
	Match   Match
	Verdict Verdict
	Device  Device // what the device told of itself: ID and Keys, and Name, Model, Kind where it tells them
}

// Errand is one thing that the account service has to be told about a device or the account. It waits in the outbox, written
// in the same transaction as the change that it tells of, until the service has answered it.
type Errand struct {
	Kind   ErrandKind
	Device DeviceID // empty for ErrandAck
	Epoch  Epoch
	At     time.Time
}

// ErrandKind says what the service is told.
type ErrandKind string

// The errands. At most one of a kind waits for a device (for the account, with ErrandAck): a newer one replaces it.
const (
	ErrandAck    ErrandKind = "ack"     // the grant of the epoch is on disk
	ErrandBind   ErrandKind = "bind"    // the device belongs to this hub's account
	ErrandUnbind ErrandKind = "unbind"  // it no longer does
	ErrandSignIn ErrandKind = "sign-in" // prove that the device holds the epoch, and confirm it
)

// Event is a line of the history that an owner can read.
type Event struct {
	At     time.Time `json:"at"`
	What   string    `json:"what"` // constant words: "epoch begun", "device rekeyed", "notice refused"
	Device DeviceID  `json:"device,omitempty"`
	Epoch  Epoch     `json:"epoch,omitempty"`
	Detail string    `json:"detail,omitempty"` // for people; never a secret
}
