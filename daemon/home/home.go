// Package home has the words of rekeyd as types, with the rules that need nothing else: the account and its epochs, the
// hub, devices and their bindings, the verdicts of probes, and the errors. daemon/DESIGN.md explains the words.
//
// It imports only the standard library. Every other package may import it.
package home

import "time"

// AccountID names one account at one provider. It is opaque, and no secret.
type AccountID string

// HubID names a hub. It is derived from the hub's signing key, so a hub cannot take another hub's name.
type HubID string

// DeviceID names a device. It is made of the strongest key that the device was seen with: "rk-…", the member name of a
// native device; "mac-50c7bf010203", of the hardware address; else of its other keys. A bound device keeps its ID,
// whatever stronger key it is seen with later. It consists of [a-z0-9-] only, so that it can stand in an MQTT topic and
// in a Home Assistant identifier.
type DeviceID string

// Provider names the cloud of an account.
type Provider string

// Home is rekeyd's own account service, or another one with its protocol. TPLink is the vendor's cloud.
const (
	Home   Provider = ""
	TPLink Provider = "tplink"
)

// CloudSession has the tokens of a hub's session at the vendor's cloud.
type CloudSession struct {
	URL            string // of the account's region
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
	// BindLater is the owner's order to bind devices that prove a password of the account as soon as they do.
	BindLater bool
	Exposed   Epoch // the newest epoch that began because somebody else may know an older password; 0 for none

	ServiceKey  []byte   // the account service's Ed25519 key, pinned when the hub enrolled
	ServiceSeal []byte   // the account service's X25519 key, to seal binding secrets to
	Notice      []byte   // hash of the newest notice that was accepted; the next one must name it
	NoticeEpoch Epoch    // the epoch of that notice; newer than Epoch while the grant is outstanding
	NoticeJSON  []byte   // that notice as it was received, signed, to pass on to native devices
	Brokers     []string // MQTT broker URLs, in the order in which they are tried
	URL         string   // the account service's base URL

	Shared bool // the account has other hubs: this one moves the devices that it holds, while it has a lease
}

// HubKeys are the seeds of the hub's two key pairs, 32 random bytes each.
type HubKeys struct{ Sign, Seal Secret }

// SealingKey is a key to which the account service seals grants for this hub. The hub replaces it at each epoch and
// daily.
type SealingKey struct {
	Seed  Secret    // 32 random bytes
	Made  time.Time // zero for the first, which was made with the store
	Epoch Epoch     // the newest when it was made
}

// Credential opens a device at an epoch.
type Credential struct {
	Epoch       Epoch  // 0 for an earlier password that the owner remembers: its epoch is not known
	Username    string // the account's e-mail as registered
	Password    Secret // empty where the hub never received it
	EpochSecret Secret // 32 bytes; empty for a password from before the hub enrolled
}

// Candidates are the credentials that a device may hold, for a probe.
type Candidates struct {
	Account     Account
	Credentials []Credential // in the order of trial, the newest first, those without an epoch last
	Recorded    Epoch        // the last one that the device was seen to hold, for protocols that show none; 0 for none
	Terms       Terms        // Bound: a driver may spend sign-ins that the device counts

	// DevicePassword opens the device itself and is not the account's; zero where its owner gave none.
	DevicePassword Secret
	// Accepted reports that the vendor's cloud accepted the account's newest password from this hub, and has not ended
	// that sign-in.
	Accepted bool
}

// Move is the input of a driver that gives a device the credential of the newest epoch.
type Move struct {
	Account  Account
	From, To Credential   // From is zero where the credential of the device is not known, or it has none
	Known    []Credential // all that the device may hold, in the order of trial, To the first
	Terms    Terms
	Try      bool // the owner ordered a try: commands may be sent that no device is known to accept

	DevicePassword Secret // see Candidates
	Accepted       bool   // see Candidates

	// Unbinding is called by a driver right before it makes the device factory-fresh itself, in order to give it the
	// credential. It writes the factory-fresh consent to disk, so that the move can be finished after a crash: nothing is
	// sent after an error. It may be nil.
	Unbinding func() error
}

// Finding is the result of a probe.
type Finding struct {
	Match   Match
	Verdict Verdict
	Device  Device    // the identity that the device gave: ID and Keys, and Name, Model, Kind where it gives them
	Other   bool      // another device than the one that was meant answers at its address
	Rank    ProofRank // set by a driver whose device proves less than its protocol's row states; zero for the row's rank
}

// ProofRank returns the rank of the conversation that led to f. Where Verdict is evidence (current, stale,
// wrong-case, default) it is what the device has shown; otherwise nothing was proved and the rank is not to be
// recorded. A driver can lower the rank, never raise it.
func (f Finding) ProofRank() ProofRank {
	best := f.Device.Protocol.Info().Rank
	if f.Rank != 0 {
		return min(f.Rank, best)
	}
	return best
}

// Evidence returns what the device proved when it was found so.
func (f Finding) Evidence() Evidence {
	return Evidence{Rank: f.ProofRank(), Held: f.Verdict.State, Epoch: f.Verdict.Epoch}
}

// Errand is one fact about a device or the account that the account service must receive. It is written to the outbox
// in the transaction of the change itself, and stays there until the service has answered.
type Errand struct {
	Kind   ErrandKind
	Device DeviceID // empty for ErrandAck
	Epoch  Epoch
	At     time.Time
}

// ErrandKind is the kind of the fact.
type ErrandKind string

// The errands. At most one of a kind waits for a device (for the account, with ErrandAck): a newer one replaces it.
const (
	ErrandAck    ErrandKind = "ack"     // the grant of the epoch is on disk
	ErrandBind   ErrandKind = "bind"    // the device belongs to this hub's account
	ErrandUnbind ErrandKind = "unbind"  // the device no longer does
	ErrandSignIn ErrandKind = "sign-in" // the device holds the epoch: to be proved
)

// Event is a line of the history that an owner can read.
type Event struct {
	At     time.Time `json:"at"`
	What   string    `json:"what"` // constant words: "epoch begun", "device rekeyed", "notice refused"
	Device DeviceID  `json:"device,omitempty"`
	Epoch  Epoch     `json:"epoch,omitempty"`
	Detail string    `json:"detail,omitempty"` // for people; never a secret
}
