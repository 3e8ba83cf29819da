// Package home holds the words of rekeyd and the rules that need nothing but them: the account and its epochs, the hub,
// the devices of a house, what binds a device to an account, and what a probe found a device to hold.
//
// It imports only the standard library. Every other package may import it; it knows none of them.
package home

import "time"

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

// HubKeys are the seeds of the hub's two key pairs, 32 random bytes each.
type HubKeys struct{ Sign, Seal Secret }

// SealingKey is a key to which the account service seals grants for this hub. The hub replaces it at each epoch and daily.
type SealingKey struct {
	Seed  Secret    // 32 random bytes
	Made  time.Time // zero for the first, which was made with the store
	Epoch Epoch     // the newest when it was made
}

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

// Finding is the result of a probe.
type Finding struct {
	Match   Match
	Verdict Verdict
	Device  Device    // the identity that the device gave: ID and Keys, and Name, Model, Kind where it gives them
	Rank    ProofRank // set by a driver whose device proves less than its protocol's row says; zero for the row's rank
}

// ProofRank returns the rank of the conversation that led to f. Where Verdict is evidence (current, stale, wrong-case, default) it is what
// the device has shown; otherwise nothing was proved and the rank is not to be recorded. A driver can lower the rank, never raise it.
func (f Finding) ProofRank() ProofRank {
	best := f.Device.Protocol.Info().Rank
	if f.Rank != 0 {
		return min(f.Rank, best)
	}
	return best
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
