package wire

// The bodies of messages. The order of fields is the order in which they are signed: it never changes within v1.

// Enrol asks to become a member. A hub shows the pairing that the account's owner made for it; a device that speaks the
// link shows nothing, but must have been bound by a hub, and brings its binding secret.
type Enrol struct {
	Keys    Keys   `json:"keys"`
	Name    string `json:"name"`              // for people
	Version string `json:"version"`           // of the software, for people
	Pairing string `json:"pairing,omitempty"` // name of the pairing; its secret is in Proof only
	Proof   []byte `json:"proof,omitempty"`   // PairingProof with RoleHub
	Secret  []byte `json:"secret,omitempty"`  // of a device: its binding secret (32 bytes), sealed with SecretInfo
}

// Enrolled says that it is one.
type Enrolled struct {
	Account string `json:"account"`
	Email   string `json:"email,omitempty"` // as registered; to hubs only
	Keys    Keys   `json:"keys"`            // of the service
	Notice  Notice `json:"notice"`          // the newest: where the member's chain begins
	Proof   []byte `json:"proof,omitempty"` // PairingProof with RoleService, to hubs
}

// Ask asks for every grant that is newer than Epoch, and for the newest notice. It is sent after every connect.
type Ask struct {
	Account string `json:"account"`
	Epoch   uint64 `json:"epoch,string"`
}

// Grant brings what a member needs to rekey to an epoch: a Granted, sealed to the member with GrantInfo.
type Grant struct {
	Notice Notice `json:"notice"`
	Sealed []byte `json:"sealed"`
}

// Ack says that the grant of Epoch is on disk.
type Ack struct {
	Account string `json:"account"`
	Epoch   uint64 `json:"epoch,string"`
}

// Bind says that devices belong to the hub's account.
type Bind struct {
	Account string   `json:"account"`
	Devices []Device `json:"devices"`
	Secrets []byte   `json:"secrets"` // the binding secrets, 32 bytes each in the order of Devices (zeroes for native ones), sealed with SecretInfo
}

// Device is a device as the service shows it to its owner.
type Device struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Protocol string `json:"protocol"`
	Model    string `json:"model,omitempty"`
	Name     string `json:"name,omitempty"`
	MAC      string `json:"mac,omitempty"` // 12 hexadecimal digits
}

// Unbind says that devices no longer belong to it.
type Unbind struct {
	Account string   `json:"account"`
	Devices []string `json:"devices"`
}

// Begin begins the sign-in of devices at an epoch.
type Begin struct {
	Account string  `json:"account"`
	Epoch   uint64  `json:"epoch,string"`
	Devices []Nonce `json:"devices"`
}

// Nonce is the member's nonce for one sign-in, 32 bytes, used once.
type Nonce struct {
	ID    string `json:"id"`
	Nonce []byte `json:"nonce"`
}

// Challenge answers Begin. The service proves itself first.
type Challenge struct {
	Account string       `json:"account"`
	Epoch   uint64       `json:"epoch,string"`
	Devices []Challenged `json:"devices"`
	Refused []Outcome    `json:"refused,omitempty"`
}

// Challenged is the service's nonce and proof for one device. Of a device that signs in for itself (Own) it has neither:
// SignedIn says whether it has done so at this epoch.
type Challenged struct {
	ID       string `json:"id"`
	Nonce    []byte `json:"nonce,omitempty"`
	Proof    []byte `json:"proof,omitempty"` // SignInProof with RoleService
	Own      bool   `json:"own,omitempty"`
	SignedIn bool   `json:"signed_in,omitempty"`
}

// Proof answers Challenge.
type Proof struct {
	Account string   `json:"account"`
	Epoch   uint64   `json:"epoch,string"`
	Devices []Proven `json:"devices"`
}

// Proven is the member's proof for one device.
type Proven struct {
	ID    string `json:"id"`
	Proof []byte `json:"proof"` // SignInProof with the member's role
}

// Session answers Proof: these devices are signed in at the epoch, those were refused.
type Session struct {
	Account string    `json:"account"`
	Epoch   uint64    `json:"epoch,string"`
	Devices []string  `json:"devices"`
	Refused []Outcome `json:"refused,omitempty"`
}

// Confirm ends a sign-in: the member saw each device hold the epoch, and has its session on disk.
type Confirm struct {
	Account string   `json:"account"`
	Epoch   uint64   `json:"epoch,string"`
	Devices []string `json:"devices"`
}

// Receipt answers Ask, Ack, Bind, Unbind and Confirm: what they tell is on the service's disk.
type Receipt struct {
	Account string    `json:"account"`
	Epoch   uint64    `json:"epoch,string"`      // the account's newest
	Notice  Notice    `json:"notice"`            // the account's newest
	Refused []Outcome `json:"refused,omitempty"` // devices of the message that were not taken
}

// Refusal answers any message as a whole.
type Refusal struct {
	Code   string `json:"code"`
	Detail string `json:"detail,omitempty"` // for people
}

// Outcome says why one device of a message was refused.
type Outcome struct {
	ID   string `json:"id"`
	Code string `json:"code"`
}

// Codes of Refusal and Outcome.
const (
	CodeUnknown   = "unknown"    // the service does not know the sender, the account or the device: enrol or bind first
	CodePairing   = "pairing"    // the pairing is used up, too old, or not the account's
	CodeForged    = "forged"     // a proof does not hold
	CodeOldEpoch  = "old-epoch"  // the epoch is not the account's newest: ask
	CodeNoSession = "no-session" // nothing was begun, or it was too long ago: begin again
	CodeForeign   = "foreign"    // the device is bound to another account, or by another hub
	CodeBusy      = "busy"       // later again
	CodeOffline   = "offline"    // the device does not answer
	CodeNotSpoken = "not-spoken" // the device takes no requests in this way
)

// MaxRelay is how many bytes an app may say to a device, and a device answer.
const MaxRelay = 32 << 10

// Relay asks a hub to pass on what an app says to a device that the hub holds, or a device that speaks the link itself, once, and at most
// until Exp of the message.
type Relay struct {
	Account string `json:"account"`
	Device  string `json:"device"`
	Sealed  []byte `json:"sealed"` // at most MaxRelay bytes, sealed with RelayInfo: it may hold a password
}

// Relayed answers Relay.
type Relayed struct {
	Account string `json:"account"`
	Device  string `json:"device"`
	Code    string `json:"code,omitempty"`   // empty when the device has answered; else one of the codes
	Sealed  []byte `json:"sealed,omitempty"` // the device's answer, sealed with RelayInfo
}

// Join tells a device that speaks the link which account it now belongs to. It goes through the device's door.
type Join struct {
	Keys   Keys   `json:"keys"`   // of the hub
	Sealed []byte `json:"sealed"` // a Joined, sealed to the device with JoinInfo
}

// Passed hands a device the newest notice, in case it has not heard it. It goes through the device's door.
type Passed struct {
	Notice Notice `json:"notice"`
}

// Probe asks a device through its door what it holds.
type Probe struct {
	Nonce []byte `json:"nonce"` // 32 bytes
}

// Statement answers Probe: what the device is, and proof of what it holds.
type Statement struct {
	Keys     Keys   `json:"keys"`
	Kind     string `json:"kind"`
	Model    string `json:"model,omitempty"`
	Name     string `json:"name,omitempty"`
	Account  string `json:"account,omitempty"`          // empty when it belongs to none
	Epoch    uint64 `json:"epoch,omitempty,string"`     // the newest it holds
	Held     []byte `json:"held,omitempty"`             // HeldProof for Epoch and the probe's nonce
	SignedIn uint64 `json:"signed_in,omitempty,string"` // the newest epoch at which the account signed it in
}

// Done answers Join and Passed.
type Done struct {
	Code string `json:"code,omitempty"` // empty when it was taken; else one of the codes
}

func (*Enrol) Type() string     { return "enrol" }
func (*Enrolled) Type() string  { return "enrolled" }
func (*Ask) Type() string       { return "ask" }
func (*Grant) Type() string     { return "grant" }
func (*Ack) Type() string       { return "ack" }
func (*Bind) Type() string      { return "bind" }
func (*Unbind) Type() string    { return "unbind" }
func (*Begin) Type() string     { return "begin" }
func (*Challenge) Type() string { return "challenge" }
func (*Proof) Type() string     { return "proof" }
func (*Session) Type() string   { return "session" }
func (*Confirm) Type() string   { return "confirm" }
func (*Receipt) Type() string   { return "receipt" }
func (*Refusal) Type() string   { return "refusal" }
func (*Join) Type() string      { return "join" }
func (*Passed) Type() string    { return "notice" }
func (*Probe) Type() string     { return "probe" }
func (*Statement) Type() string { return "statement" }
func (*Done) Type() string      { return "done" }
func (*Relay) Type() string     { return "relay" }
func (*Relayed) Type() string   { return "relayed" }

// kind is a row of the table of messages.
type kind struct {
	use use
	new func() Body
}

// kinds is the table of messages, by type. A type is accepted with the "typ" of its row only.
var kinds = func() map[string]kind {
	table := map[string]kind{}
	add := func(u use, of ...func() Body) {
		for _, n := range of {
			table[n().Type()] = kind{u, n}
		}
	}
	add(useMessage, body[Enrol], body[Enrolled], body[Ask], body[Grant], body[Ack], body[Bind], body[Unbind], body[Begin], body[Challenge],
		body[Proof], body[Session], body[Confirm], body[Receipt], body[Refusal], body[Relay], body[Relayed])
	add(useEndpoint, body[Join], body[Passed], body[Probe], body[Statement], body[Done])
	return table
}()

func body[T any, P interface {
	*T
	Body
}]() Body {
	return P(new(T))
}

// newBody returns an empty body of the type, or nil where the table has none with this use.
func newBody(u use, typ string) Body {
	if k, ok := kinds[typ]; ok && k.use == u {
		return k.new()
	}
	return nil
}

func useOf(typ string) use { return kinds[typ].use }
