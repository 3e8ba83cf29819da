// Package daemon holds the engine that keeps every binding current, and its faces.
//
// This file is its edge: what the engine needs of the rest of the program. What fulfils an interface here does not import
// this package; cmd/rekeyd introduces the two.
package daemon

import (
	"context"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Driver speaks one protocol to devices on the LAN. Its methods may be called for many devices at once, and never twice at
// once for one device. Both end when ctx does, and leave no goroutine or connection behind.
type Driver interface {
	// Probe asks the device what it holds and changes nothing. What the device is found to hold is the finding's verdict,
	// an unreachable device's included: an error is for what went wrong on this side only.
	Probe(context.Context, home.Device, home.Candidates) (home.Finding, error)

	// Rekey gives the device the credential m.To. That it returns nil proves nothing, and neither does an error: the caller
	// probes again. It returns home.ErrUnreachable, ErrNotOpened, ErrRefused, ErrForeign, ErrBusy (again in a second) or
	// ErrOffline (the device has it, and could not try it).
	Rekey(ctx context.Context, d home.Device, m home.Move) error
}

// Restarter is a driver of devices that can be switched off and on again: some have what their cloud knows only then.
type Restarter interface {
	Restart(context.Context, home.Device, home.Candidates) error
}

// Nudger is a driver of devices that sign themselves in. Nudge has the device see now whether the account still knows it.
type Nudger interface {
	Nudge(context.Context, home.Device, home.Account) error
}

// Discovery finds devices until ctx ends. It hands every sighting to see, in batches, and never calls it twice at once.
type Discovery interface {
	Run(ctx context.Context, see func([]home.Sighting)) error
}

// Roster joins sightings to devices. It is safe for use by several goroutines.
type Roster interface {
	// See takes sightings in and returns the devices that are new, or that have changed (also in being back after an absence).
	See([]home.Sighting) []home.Device
	Devices() []home.Device
	Device(home.DeviceID) (home.Device, bool)
	// Here tells whether the device was seen, and neither said goodbye nor was missed for long.
	Here(home.DeviceID) bool
}

// Ledger is what the engine keeps on disk. Every method is one transaction, and may share it with others' (group commit).
type Ledger interface {
	Reader
	Binder
	Progress
	Wishes
}

// Reader tells what is known.
type Reader interface {
	// Account returns home.ErrNoAccount before the hub has enrolled.
	Account() (home.Account, error)
	Credentials(home.AccountID) ([]home.Credential, error) // newest first
	Bindings() ([]home.Binding, error)
	Devices() ([]home.Device, error) // those that are bound, as they were last seen
}

// Binder says what belongs to the account. Its methods queue what the account service has to be told.
type Binder interface {
	Bind(home.AccountID, []home.Device) error
	Unbind([]home.DeviceID) error
	// RenameDevice moves a bound device to the name that a stronger identity gives it.
	RenameDevice(from, to home.DeviceID) error
	// SaveDevices keeps where bound devices were last seen.
	SaveDevices([]home.Device) error
}

// Progress is how a binding moves.
type Progress interface {
	// Observe records what a probe found, with all that follows from it: a device that was seen to hold the newest epoch has
	// its intent forgotten and its sign-in queued. It returns the binding as it now is, or home.ErrNotFound.
	Observe(home.DeviceID, home.Verdict, home.ProofRank, time.Time) (home.Binding, error)
	// Intend writes down that the device is about to be moved, on top of an unfinished intent where there is one.
	Intend(id home.DeviceID, from, to home.Epoch, at time.Time) (home.Intent, error)
	// Postpone records that a try did not bring the device to the newest epoch, and when the next may begin.
	Postpone(id home.DeviceID, next time.Time) error
	// Retry forgets what was tried in vain with devices. What is not bound is passed over.
	Retry([]home.DeviceID) error
}

// Wishes is what an owner says beside.
type Wishes interface {
	// Remember adds earlier passwords to the vault, and returns how many are new to it.
	Remember(home.AccountID, []home.Credential) (added int, err error)
	// AllowCleartextBind keeps the owner's word; see home.Account.
	AllowCleartextBind(bool) error
}
