package wire

var membership = []kind{
	{"enrol", Outbox, body[Enrol]},
	{"enrolled", Inbox, body[Enrolled]},
	{"hello", Outbox, body[Hello]},
	{"welcome", Inbox, body[Welcome]},
	{"grant", Inbox, body[Grant]},
	{"ack", Outbox, body[Ack]},
	{"receipt", Inbox, body[Receipt]},
	{"refusal", Inbox, body[Refusal]},
}

// Enrol asks to become a member of an account. A hub shows the pairing that the account's owner made for it. A native
// device shows nothing, but a hub of the account must have bound it; it brings its binding secret.
type Enrol struct {
	Account string `json:"account"`
	Keys    Keys   `json:"keys"`
	Name    string `json:"name"`              // for people
	Version string `json:"version"`           // of the software, for people
	Pairing string `json:"pairing,omitempty"` // name of the pairing; its secret is in Proof only
	Proof   []byte `json:"proof,omitempty"`   // PairingProof with RoleHub
	Secret  []byte `json:"secret,omitempty"`  // of a device: its binding secret (32 bytes), sealed with SecretInfo
}

func (b *Enrol) check() error {
	if b.Pairing != "" && !ValidName(b.Pairing) {
		return errName
	}
	return first(names(b.Account), text(b.Name, b.Version))
}

// Enrolled answers Enrol. The grant of the newest epoch follows.
type Enrolled struct {
	Account string `json:"account"`
	Email   string `json:"email,omitempty"` // as registered; to hubs only
	Keys    Keys   `json:"keys"`            // of the service
	Notice  Notice `json:"notice"`          // the newest: the member's chain begins here
	Proof   []byte `json:"proof,omitempty"` // PairingProof with RoleService, to hubs
}

func (b *Enrolled) check() error { return first(names(b.Account), text(b.Email), b.Notice.check()) }

// Hello asks for every grant that is newer than Epoch, and for Welcome. A member sends it after every connect, every 15
// minutes, and at each gap in the chain of notices.
type Hello struct {
	Account string `json:"account"`
	Epoch   uint64 `json:"epoch,string"`    // the newest whose grant is on the member's disk; 0 for none
	Notice  Notice `json:"notice,omitzero"` // the newest that the member accepted
	Boot    uint64 `json:"boot,string"`     // number of the member's starts
	Clock   int64  `json:"clock"`           // milliseconds since this start: what relays expire by
}

func (b *Hello) check() error {
	if b.Notice.Epoch != 0 {
		return first(names(b.Account), b.Notice.check())
	}
	return names(b.Account)
}

// Welcome answers Hello, after the grants that the member has missed.
type Welcome struct {
	Account   string `json:"account"`
	Epoch     uint64 `json:"epoch,string"`     // the account's newest
	Notice    Notice `json:"notice"`           // the account's newest
	Nonce     []byte `json:"nonce"`            // for the next SignIn
	Seal      []byte `json:"seal"`             // the sealing key to which the service seals grants for this member
	Challenge []byte `json:"challenge"`        // sealed to that key with ChallengeInfo: for the next Ack
	Shared    bool   `json:"shared,omitempty"` // to hubs: the account has others, so this one needs a lease
}

func (b *Welcome) check() error { return first(names(b.Account), b.Notice.check()) }

// Grant brings the credential of an epoch: a Granted, sealed to the member with GrantInfo.
type Grant struct {
	Notice Notice `json:"notice"`
	Sealed []byte `json:"sealed"`
}

func (b *Grant) check() error { return b.Notice.check() }

// Ack reports that the grant of Epoch, the newest, is on disk, and replaces the member's sealing key. The service
// deletes the grants that it kept for the member.
type Ack struct {
	Account string `json:"account"`
	Epoch   uint64 `json:"epoch,string"`
	Seal    []byte `json:"seal"`  // the new sealing key
	Proof   []byte `json:"proof"` // KeyChange
}

func (b *Ack) check() error { return names(b.Account) }

// Receipt answers Ack, Bind and Unbind: the change is on the service's disk, except for the refused devices.
type Receipt struct {
	Account string    `json:"account"`
	Epoch   uint64    `json:"epoch,string"` // the account's newest
	Notice  Notice    `json:"notice"`       // the account's newest
	Refused []Outcome `json:"refused,omitempty"`
}

func (b *Receipt) check() error {
	return first(names(b.Account), b.Notice.check(), outcomes(b.Refused, MaxDevices))
}

// Refusal answers a request that was refused as a whole.
type Refusal struct {
	Code   string `json:"code"`
	Detail string `json:"detail,omitempty"` // for people
	Nonce  []byte `json:"nonce,omitempty"`  // with CodeNonce: the one to use instead
}

func (b *Refusal) check() error { return text(b.Code, b.Detail) }

// Outcome is the reason why one device of a request was refused.
type Outcome struct {
	ID   string `json:"id"`
	Code string `json:"code"`
}

func outcomes(os []Outcome, most int) error {
	for _, o := range os {
		if err := text(o.Code); err != nil {
			return err
		}
	}
	return list(os, most, func(o Outcome) string { return o.ID })
}

// Codes of Refusal, Outcome, Relayed and Done.
const (
	CodeUnknown   = "unknown"    // the service does not know the sender, the epoch or the device: enrol or bind first
	CodePairing   = "pairing"    // the pairing is used up, too old, or not the account's
	CodeForged    = "forged"     // a proof does not hold
	CodeOldEpoch  = "old-epoch"  // the epoch is not the account's newest: send a hello
	CodeNonce     = "nonce"      // the service's nonce has expired: use the new one
	CodeWaiting   = "waiting"    // a native device signs itself in, and has not yet
	CodeForeign   = "foreign"    // another account's, or held by another hub
	CodeHeld      = "held"       // another hub of the account has a lease and holds the device
	CodeBusy      = "busy"       // later again
	CodeOffline   = "offline"    // the device does not answer
	CodeRestarted = "restarted"  // the request was for an earlier start of this member
	CodeOldKey    = "old-key"    // the request was sealed to a key that this member has replaced: seal it again
	CodeExpired   = "expired"    // the request came too late
	CodeNotSpoken = "not-spoken" // the device takes no requests in this way
)
