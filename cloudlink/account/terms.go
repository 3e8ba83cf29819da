package account

import (
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Account is one e-mail address with a password.
type Account struct {
	ID     string
	Email  string      // as registered: devices hash it in the letter case in which it was typed
	Hash   home.Secret // of the password, in PHC form
	Epoch  uint64
	Notice wire.Notice // of the newest epoch
	// Ahead is a notice of this service that a hub has shown and that this state does not have: it was restored from a
	// backup. The next epoch follows it. Zero for none.
	Ahead  wire.Notice
	Secret home.Secret // of the newest epoch, 32 bytes
	Closed bool        // the password opens nothing: the owner disowned the change that set it
	Lang   string      // of its mails, a tag of package language
	At     time.Time   // of the registration
	// TerminalsSince is the newest epoch that began because somebody else may know the password. The cookies of
	// terminals from earlier epochs are void.
	TerminalsSince uint64
}

// Newest returns the notice that the next epoch follows.
func (a Account) Newest() wire.Notice {
	if a.Ahead.Epoch >= a.Epoch && a.Ahead.Epoch != 0 {
		return a.Ahead
	}
	return a.Notice
}

// recipient is where the account's mail goes.
func (a Account) recipient() mail.Recipient {
	return mail.Recipient{Account: a.ID, Email: a.Email, Lang: a.Lang}
}

// Registration is an account before its activation. An address can have several: each link activates its own.
type Registration struct {
	Key     string // hash of the token in the mail
	Account string // ID of the account that it becomes
	Email   string
	Hash    home.Secret
	Door    string
	Lang    string
	At      time.Time
	Expires time.Time
}

// The purposes of a link in a mail.
const (
	PurposeReset  = "reset"
	PurposeDisown = "notme" // "this was not me"
)

// MailLink is a link that was sent by mail.
type MailLink struct {
	Key     string // hash of the token; the token itself is kept nowhere
	Purpose string
	Account string
	Epoch   uint64 // of the account when the link was made
	Door    string
	At      time.Time
	Expires time.Time
}

// Session is a token of a signed-in owner, or a refresh token.
type Session struct {
	Key      string // hash of the token
	Account  string
	Entry    string // of the login: the same for its token, its refresh token, and all that this renews
	Refresh  bool
	Door     string
	Terminal string
	At       time.Time // of the login: when the password was given
	Expires  time.Time
}

// Pairing lets one hub into an account.
type Pairing struct {
	Name     string
	Account  string
	Secret   home.Secret
	Password home.Secret // of the account, where its owner gave it for the hub; else zero
	Epoch    uint64      // that the password belongs to
	Used     string      // by this hub, which may ask again when the answer was lost
	Expires  time.Time
}

// Member is a hub, or a device that speaks the link itself.
type Member struct {
	Name    string
	Account string
	Keys    wire.Keys
	Seal    []byte // the sealing key that it announced last; empty while that is the one in Keys
	Label   string // for people
	Version string
	At      time.Time     // when it enrolled
	Acked   uint64        // the newest epoch whose grant is on its disk
	Boot    uint64        // number of its last start
	Clock   time.Duration // its own clock, milliseconds since that start, minus this service's Unix time
}

// IsHub returns whether a member's name is that of a hub.
func IsHub(name string) bool { return strings.HasPrefix(name, string(wire.RoleHub)+"-") }

// SealKey returns the public key to which grants for the member are sealed.
func (m Member) SealKey() []byte {
	if len(m.Seal) > 0 {
		return m.Seal
	}
	return m.Keys.Seal
}

// IsHub returns whether the member is a hub.
func (m Member) IsHub() bool { return IsHub(m.Name) }

// HubLease is a hub of an account, and whether its devices are its own.
type HubLease struct {
	Name, Label string
	Silent      time.Duration // since it has renewed its lease
	Live        bool          // no other hub gets its devices
}

// Device is a device that a hub has bound. It is one of its account: another account can have one of the same ID.
type Device struct {
	wire.Device
	Account  string
	Holder   string   // the hub that holds it
	Secret   home.Key // of the binding; zero for a device that speaks the link, until it has enrolled
	SignedIn uint64   // the newest epoch at which it signed in; 0 for none
	// Revision is of the record that View returned, where its member may sign the device in: SignIn need not read that
	// record again. 0 for none; a store can leave it so.
	Revision uint64
}

// Native returns whether the device speaks the link itself. Once enrolled, it is a member of the same name.
func (d Device) Native() bool { return d.Protocol == string(home.Native) }

// Grant gives a member the secrets of an epoch, sealed to it.
type Grant struct {
	Member string
	Notice wire.Notice
	Seal   []byte // the sealing key that it is sealed to
	Sealed []byte
}

// Event is a line of an account's history. The zero Event is none.
type Event struct {
	At     time.Time
	What   string // constant words, which package language translates
	Door   string
	Epoch  uint64
	Detail string
}

// Position is the place of a message among those of its member. Each message changes the store once; the same message
// again gets the same answer.
type Position struct {
	Member string
	Seq    uint64 // grows with each message of the member
}
