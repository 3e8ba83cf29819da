// Package cloudlink is a member's end of the account link: it keeps the MQTT connection, checks the service's messages,
// opens grants, and signs devices in by proof. The member is a hub, or a native device (package device).
//
// The link keeps one request in memory and nothing else. A change waits as an errand in the member's store, written in
// the transaction of the change, until the service has answered it. Every message may be lost, come twice, late or
// forged. PROTOCOL.md describes the protocol.
package cloudlink

import (
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Store is what the link needs on disk. Every method is one transaction.
type Store interface {
	Vault
	Epochs
	Outbox
	Sealing
}

// Vault holds what proofs are made of.
type Vault interface {
	// Account returns home.ErrNoAccount before the member has joined one.
	Account() (home.Account, error)
	Credentials(home.AccountID) ([]home.Credential, error) // newest first
	BindingSecrets([]home.DeviceID) (map[home.DeviceID]home.Key, error)
	// Bound returns those of the devices that are bound, for the service to list them.
	Bound([]home.DeviceID) ([]home.Device, error)
	// ProofRanks returns the strongest proof recorded for the binding of each; 0 for none yet.
	ProofRanks([]home.DeviceID) (map[home.DeviceID]home.ProofRank, error)
}

// Epochs moves the account forward. Older epochs are refused with home.ErrOldEpoch.
type Epochs interface {
	// Enrol begins membership, with the account's password where its owner typed it (else a zero credential).
	Enrol(home.Account, home.Credential) error
	// NoteNotice records a verified notice whose grant is outstanding.
	NoteNotice(id home.AccountID, epoch home.Epoch, hash, raw []byte) error
	// Expose records that an epoch begins because an older password may be known to another person. It comes before
	// the grant.
	Expose(id home.AccountID, epoch home.Epoch) error
	// BeginEpoch records a grant with all its consequences. The same grant again changes nothing.
	BeginEpoch(id home.AccountID, c home.Credential, hash, raw []byte) (stale int, err error)
	Record(home.Event) error
}

// Outbox holds the errands: what the service has not acknowledged yet.
type Outbox interface {
	Errands(max int) ([]home.Errand, error) // oldest first
	// ErrandsAfter returns those behind the one of e's kind and device; from the oldest on where none of it waits.
	ErrandsAfter(e home.Errand, max int) ([]home.Errand, error)
	Queue([]home.Errand) error
	Answered([]home.Errand) error
	// SignedIn records sessions.
	SignedIn(id home.AccountID, epoch home.Epoch, devices []home.DeviceID) error
}

// Sealing holds the member's sealing keys.
type Sealing interface {
	// SealingKeys returns one key, or two while the newest is announced, newest first.
	SealingKeys() ([]home.SealingKey, error)
	AddSealingKey(home.SealingKey) error
	// KeepSealingKey deletes all other keys.
	KeepSealingKey(seed home.Secret) error
}

// Sharing is the part of the store for an account with several hubs. Every method is one transaction.
type Sharing interface {
	// SetShared records whether the account has other hubs.
	SetShared(id home.AccountID, shared bool) error
	// Share applies the list of the account's devices: it raises proof ranks, and queues a binding for each device that
	// is orphaned or not listed. It returns how many these are.
	Share(id home.AccountID, held []home.Held) (taken int, err error)
}
