package account

import (
	"errors"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Store keeps the state of the account service. Each method is one transaction: it happens whole or not at all, it
// checks its conditions inside, and several instances of the service can share one store. Secrets are sealed on
// disk.
//
// Every store must pass package storetest. A lookup without a result returns home.ErrNotFound.
type Store interface {
	Accounts
	Registrations
	Sessions
	Members
	Devices
	mail.Store

	// Identity returns the service's own keys; the first call makes them.
	Identity() (*wire.Identity, error)
	// WaitingMails returns how many mails wait.
	WaitingMails() (int, error)
	// Sweep deletes sessions, links, registrations and pairings that expired before now.
	Sweep(now time.Time) error
	Close() error
}

// The conditions that a change can fail on. Nothing was changed then.
var (
	ErrEpoch    = errors.New("the account's password was changed meanwhile")
	ErrUsed     = errors.New("it was used, or replaced")
	ErrTaken    = errors.New("the e-mail address has an account")
	ErrMembers  = errors.New("the account's members have changed meanwhile")
	ErrReplayed = errors.New("the message was answered before")
)

// Accounts are the accounts, with the links in their mails.
type Accounts interface {
	Account(id string) (Account, error)
	// AccountByEmail finds the account of an address in any letter case.
	AccountByEmail(email string) (Account, error)
	// CreateAccount stores a new account. use is the key of the registration that it ends, empty for none. Errors:
	// ErrTaken; ErrUsed when there is no such registration.
	CreateAccount(a Account, use string, history ...Event) error
	// Rehash replaces the hash of the account's password. Errors: ErrEpoch when the account's epoch is another.
	Rehash(account string, epoch uint64, hash home.Secret) error
	SetLanguage(account, lang string) error
	// NoteAhead records a notice that this service signed and that its state does not have, as Account.Ahead. It changes
	// nothing where the account has that notice, or a newer one.
	NoteAhead(n wire.Notice) error
	// BeginEpoch changes the password. Errors: ErrEpoch, also for a closed account without a link; ErrUsed; ErrMembers.
	BeginEpoch(EpochChange) error
	// OfferReset stores a reset link in place of earlier ones, and queues its mail. Errors: ErrEpoch when the account's
	// epoch is not the link's.
	OfferReset(l MailLink, m mail.Mail, e Event) error
	// Disown answers "this was not me", and returns how many hubs it removed. Errors: ErrUsed; ErrEpoch when the
	// account's epoch is not that of the reset link.
	Disown(Disowning) (removed int, err error)
	MailLink(key string) (MailLink, error)
	// History returns an account's history, the newest first.
	History(account string) ([]Event, error)
}

// EpochChange is the change of an account's password: how an epoch begins. With it every session and the live reset
// link end.
type EpochChange struct {
	Account  Account  // as it is from now on. Its epoch is one more than that of Account.Newest, else ErrEpoch
	Use      string   // key of the link that allows the change, and is used up; empty with the old password
	Grants   []Grant  // of the new epoch, one for each member; ErrMembers where one that stays has none
	LeaveOut []string // hubs that are removed with what they hold
	AllLinks bool     // ends the links that disown earlier changes, too
	Disown   MailLink // that disowns this change
	Mail     mail.Mail
	Event    Event
}

// Disowning is "this was not me": the account is closed to the password that was set, every session and unused
// pairing ends, the hubs that enrolled since are removed with what they hold, and a reset mail is queued.
type Disowning struct {
	Account string
	Use     string    // key of the link "this was not me"
	Since   time.Time // of the change
	Reset   MailLink
	Mail    mail.Mail
	Event   Event
}

// Registrations are accounts that wait for their activation.
type Registrations interface {
	// Register stores a registration beside the others of its address, and queues its mail.
	Register(r Registration, m mail.Mail) error
	Registration(key string) (Registration, error)
	// NewestRegistration finds the last registration of an address in any letter case.
	NewestRegistration(email string) (Registration, error)
}

// Sessions are the sessions of owners.
type Sessions interface {
	// OpenSession stores sessions of one login. Errors: ErrEpoch when the account's epoch is not the one that the
	// password was checked at, or the account is closed: no session slips past a reset.
	OpenSession(epoch uint64, ss ...Session) error
	Session(account, key string) (Session, error)
	// RenewSession stores a session that the refresh token with the key old renews; home.ErrNotFound when that has ended.
	RenewSession(old string, s Session) error
	Sessions(account string) ([]Session, error)
	// EndSession ends all sessions of one entry; home.ErrNotFound when there is none.
	EndSession(account, entry string, e Event) error
	EndSessions(account string, e Event) error
}

// Members are hubs and native devices, and what lets them in.
type Members interface {
	Member(name string) (Member, error)
	// Members returns an account's members, hubs before devices, each by name.
	Members(account string) ([]Member, error)
	// Notices returns the newest notices of at most n accounts that have members, by account, beginning behind `after`.
	Notices(after string, n int) ([]wire.Notice, error)
	// AddPairing stores a pairing. Errors: ErrEpoch when the account's epoch is not the pairing's, or the account is
	// closed.
	AddPairing(p Pairing, e Event) error
	Pairing(name string) (Pairing, error)
	// Enrol makes a member. Errors: ErrEpoch when the grant is of another epoch than the account's newest, or the
	// account is closed; ErrUsed when the pairing is missing, or was used by another hub; home.ErrNotFound when no hub
	// of the account has bound the device; ErrReplayed; home.ErrForeign for a hub of another account, whose owner has to
	// remove it first.
	Enrol(Enrolment) error
	// AccountsOfNative returns the accounts that have bound a device which speaks the link: it can enrol with one of them.
	AccountsOfNative(device string) ([]string, error)
	// RemoveHub removes a hub with the devices that it holds; home.ErrNotFound when the account has no such hub.
	RemoveHub(account, hub string, e Event) error
	// Hello records a member's report at its connect.
	Hello(member string, boot uint64, clock time.Duration) error
	// Acknowledge records that the grant of the newest epoch is on the member's disk. Errors: ErrReplayed; ErrEpoch when
	// the account's epoch is another; ErrMembers when the member's sealing key is another than the one that is replaced;
	// home.ErrNotFound when it is no member of the account.
	Acknowledge(p Position, a Acknowledgement) error
	// RenewLease renews the lease of a hub, or ends it, and returns the hubs of its account by name. Renewals may be lost
	// with the process: a hub without one has a lease for wire.LeaseLife after the first question. The store measures
	// that with its own clock. Errors: ErrReplayed; home.ErrNotFound when it is no member.
	RenewLease(p Position, release bool) ([]HubLease, error)
	// Grants returns the member's grants of epochs newer than after, the oldest first.
	Grants(member string, after uint64) ([]Grant, error)
	// LastSeq returns the sequence number of the member's last change; 0 for none.
	LastSeq(member string) (uint64, error)
}

// Enrolment is how a member enters an account. A native device leaves another account with it: it forgets an account
// only when that does not know it any more, or its owner resets it.
type Enrolment struct {
	Member  Member
	Seq     uint64
	Pairing string   // of a hub. An unused pairing accepts any Seq: a hub from a backup counts from there again
	Secret  home.Key // binding secret of a device
	Grant   Grant
	// At the first enrolment in the account the event is recorded, the mail queued, and the link in it stored.
	Event  Event
	Mail   mail.Mail
	Disown MailLink // zero for none
}

// Acknowledgement is a member's report that the grant of an epoch is on its disk. The grants up to it are deleted: they
// hold passwords.
type Acknowledgement struct {
	Account  string
	Epoch    uint64 // the account's newest
	Seal     []byte // the member's new sealing key
	Replaces []byte // the sealing key that View returned, against which the change was verified
}

// Devices are the devices of accounts.
type Devices interface {
	Device(account, id string) (Device, error)
	// Devices returns an account's devices by ID, without their secrets.
	Devices(account string) ([]Device, error)
	// Bind makes devices belong to the account of the member, held by it, and returns those it refused: also those that
	// another hub of the account holds while that has a lease. An account has at most `most`.
	Bind(p Position, ds []Device, most int) (refused []wire.Outcome, err error)
	// Unbind deletes devices from an account. The zero Position is the owner.
	Unbind(p Position, account string, ids []string) (refused []wire.Outcome, err error)
	// SignIn records that devices are signed in at the account's newest epoch. A member signs in the devices that it
	// holds, and itself: a device is checked again where its record is not the one that View returned. Errors: ErrEpoch
	// when epoch is not the newest.
	SignIn(p Position, account string, epoch uint64, ds []Device) (refused []wire.Outcome, err error)
	// View returns the member, its account, and those of the devices that are in the account, as of one instant.
	View(member string, ids []string) (MemberView, error)
}

// MemberView is a member with its account and devices at one instant.
type MemberView struct {
	Member  Member
	Account Account
	Devices map[string]Device
}
