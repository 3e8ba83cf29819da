package wire

var binding = []kind{
	{"bind", Outbox, body[Bind]},
	{"unbind", Outbox, body[Unbind]},
	{"sign-in", Outbox, body[SignIn]},
	{"signed-in", Inbox, body[SignedIn]},
}

// Bind takes devices into the account, for the hub to hold.
type Bind struct {
	Account string   `json:"account"`
	Devices []Device `json:"devices"`
	// Secrets are 32 bytes each, in the order of Devices (zeroes for native ones), sealed with SecretInfo.
	Secrets []byte `json:"secrets"`
}

func (b *Bind) check() error {
	if err := first(names(b.Account), list(b.Devices, MaxDevices, func(d Device) string { return d.ID })); err != nil {
		return err
	}
	for _, d := range b.Devices {
		if err := text(d.Kind, d.Protocol, d.Model, d.Name, d.MAC); err != nil {
			return err
		}
	}
	return nil
}

// Device is a device as the service shows it to its owner. Its ID is unique within the account.
type Device struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Protocol string `json:"protocol"`
	Rank     uint8  `json:"rank,omitempty"` // proof rank: 1 told first, 2 hash first, 3 proves first
	Model    string `json:"model,omitempty"`
	Name     string `json:"name,omitempty"`
	MAC      string `json:"mac,omitempty"` // 12 hexadecimal digits
}

// Unbind takes devices out of the account.
type Unbind struct {
	Account string   `json:"account"`
	Devices []string `json:"devices"`
}

func (b *Unbind) check() error { return first(names(b.Account), list(b.Devices, MaxDevices, itself)) }

func itself(s string) string { return s }

// SignIn signs devices in at an epoch that each was seen to hold.
type SignIn struct {
	Account      string   `json:"account"`
	Epoch        uint64   `json:"epoch,string"` // the account's newest
	MemberNonce  []byte   `json:"member_nonce"` // 32 random bytes, new for each request
	ServiceNonce []byte   `json:"service_nonce"`
	Devices      []Proven `json:"devices"`
}

func (b *SignIn) check() error { return first(names(b.Account), proven(b.Devices)) }

// SignedIn answers SignIn: the devices are signed in, on the service's disk, except for the refused ones.
type SignedIn struct {
	Account string    `json:"account"`
	Epoch   uint64    `json:"epoch,string"`
	Nonce   []byte    `json:"nonce"` // the service's, for the next SignIn
	Devices []Proven  `json:"devices"`
	Refused []Outcome `json:"refused,omitempty"`
}

func (b *SignedIn) check() error {
	return first(names(b.Account), proven(b.Devices), outcomes(b.Refused, MaxProven))
}

// Proven is the proof for one device, of the sender.
type Proven struct {
	ID    string `json:"id"`
	Proof []byte `json:"proof,omitempty"` // absent in an answer about a native device, which has signed itself in
}

func proven(ps []Proven) error { return list(ps, MaxProven, func(p Proven) string { return p.ID }) }
