// Package daemon holds the engine that keeps every binding current, with its API and page.
//
// This file has its edges: the interfaces that the engine needs of the rest of the program. Packages that fulfil them
// do not import this one; cmd/rekeyd/internal/app introduces the two. The story is in mend.go.
package daemon

import (
	"context"
	"net/netip"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Driver speaks one protocol to devices on the LAN. Its methods may be called for many devices at once, and never
// twice at once for one device. They end when ctx does, and leave no goroutine or connection behind.
type Driver interface {
	// Probe asks the device which credential it holds, and changes nothing. The answer is the verdict of the finding,
	// also for an unreachable device: an error means that something failed on this side.
	Probe(context.Context, home.Device, home.Candidates) (home.Finding, error)

	// Rekey gives the device the credential m.To. Neither nil nor an error proves anything: the caller probes again.
	// Errors are home.ErrUnreachable, ErrNotOpened, ErrRefused, ErrForeign, ErrBusy (again in a second) and ErrOffline
	// (the device has the credential, and could not try it at its cloud).
	Rekey(ctx context.Context, d home.Device, m home.Move) error
}

// Restarter is a driver that can restart its devices: some fetch a new credential from their own cloud at start only.
type Restarter interface {
	Restart(context.Context, home.Device, home.Candidates) error
}

// Nudger is a driver of devices that sign themselves in. Nudge makes the device check at once whether the account
// still knows it.
type Nudger interface {
	Nudge(context.Context, home.Device, home.Account) error
}

// Relayer is a driver that can pass a request of an app to a device. Request and answer are the protocol's own.
// Errors are home.ErrUnreachable, and ErrNotOpened where the device accepts none of the account's credentials.
type Relayer interface {
	Relay(ctx context.Context, d home.Device, c home.Candidates, request []byte) ([]byte, error)
}

// Discovery finds devices until ctx ends. It passes its sightings to see in batches, and never calls it twice at once.
type Discovery interface {
	Run(ctx context.Context, see func([]home.Sighting)) error
}

// Roster joins sightings to devices. It is safe for use by several goroutines.
type Roster interface {
	// Bind replaces the set of bound devices: these keep their IDs, whatever keys they are seen with.
	Bind([]home.Device)
	// See takes sightings in, and returns the devices that are new or have changed (also by being back after an absence).
	See([]home.Sighting) []home.Device
	// Device returns the device of this ID. The ID of another key of the same device leads to it, too.
	Device(home.DeviceID) (home.Device, bool)
	// Spoke records at which of its addresses the device speaks its protocol.
	Spoke(home.DeviceID, netip.AddrPort)
	// Here reports whether the device was sighted, without a goodbye or a long absence since.
	Here(home.DeviceID) bool
}

// Ledger is the store of the engine, and authoritative for everything in it. Every method is one transaction, which may
// share its commit with others.
type Ledger interface {
	Reader
	Binder
	Progress
	Wishes
}

// Reader reads the ledger.
type Reader interface {
	// Account returns home.ErrNoAccount before the hub has enrolled.
	Account() (home.Account, error)
	House() (home.House, error)
	Subject(home.DeviceID) (home.Subject, error)
	// Binding returns home.ErrNotFound for a device that is not bound.
	Binding(home.DeviceID) (home.Binding, error)
}

// Binder changes the set of bound devices. Its methods queue the errands to the account service.
type Binder interface {
	Bind(home.AccountID, []home.Device) error
	Unbind([]home.DeviceID) error
	// Forget is Unbind of devices that are gone: they are not left out should they come back.
	Forget([]home.DeviceID) error
	// SaveDevices records where bound devices were last seen. It skips others, and records that are the same.
	SaveDevices([]home.Device) error
}

// Progress records how far a binding is.
type Progress interface {
	// Observe records the verdict of a probe and the rank of its proof, with all consequences: the intent of a device
	// that holds the newest epoch is deleted, and its sign-in queued. It returns the binding after that, or
	// home.ErrNotFound.
	Observe(home.DeviceID, home.Verdict, home.ProofRank, time.Time) (home.Binding, error)
	// Intend writes down that the device is about to be moved, on top of an unfinished intent where there is one.
	Intend(id home.DeviceID, from, to home.Epoch, at time.Time) (home.Intent, error)
	// Postpone records that a try did not bring the device to the newest epoch, and when the next one may begin.
	Postpone(id home.DeviceID, next time.Time) error
	// Retry resets the tries, pauses and lock-outs of devices. It skips those that are not bound.
	// Where the order names them, a device that refused many sign-ins in a row is sent another.
	Retry(ids []home.DeviceID, named bool) error
	// Writable returns an error while changes cannot be written to the disk.
	Writable() error
}

// Wishes are orders of the owner that the ledger keeps.
type Wishes interface {
	// Remember adds earlier passwords to the vault, and returns how many were new.
	Remember(home.AccountID, []home.Credential) (added int, err error)
	// BindLater records whether devices that prove a password of the account are bound by themselves.
	BindLater(id home.AccountID, on bool) error
	// SetDevicePassword keeps the password that opens a bound device itself; home.ErrNotFound for one that is not bound.
	SetDevicePassword(home.DeviceID, home.Secret) error
	// Rename records the name that the owner gives a bound device, empty for its own; home.ErrNotFound for one that is not
	// bound.
	Rename(id home.DeviceID, name string) error
	// Consent records what the owner allows for bound devices from now on: it replaces what they allowed before. It skips
	// devices that are not bound.
	Consent(map[home.DeviceID]home.Consents) error
}
