package wire

import "time"

var leases = []kind{
	{"lease", Outbox, body[Lease]},
	{"leased", Inbox, body[Leased]},
}

// Times of a lease. Each is measured by one clock alone: that of the hub, or that of the service's store.
const (
	LeaseEvery = 20 * time.Second // a hub renews its lease
	// LeaseTerm is how long after it has sent a renewal a hub may begin to move a device.
	LeaseTerm = 40 * time.Second
	// LeaseLife is how long after a renewal no other hub gets the devices: LeaseTerm, and a minute that a move may take.
	LeaseLife = 105 * time.Second
)

// MaxHubs is how many hubs a list names: those that are live come first.
const MaxHubs = 64

// Lease renews the lease of a hub whose account has several, and asks for the list of the account's devices.
type Lease struct {
	Account  string `json:"account"`
	Revision string `json:"revision,omitempty"` // of the list that the hub has; empty for none
	After    string `json:"after,omitempty"`    // ID behind which the next page begins
	Release  bool   `json:"release,omitempty"`  // the hub stops: other hubs may take its devices at once
}

func (b *Lease) check() error { return first(names(b.Account), text(b.Revision, b.After)) }

// Leased answers Lease. Without a request it asks a hub to send one.
type Leased struct {
	Account  string   `json:"account"`
	Hubs     []Sharer `json:"hubs,omitempty"`     // of the account, with this one; one alone needs no lease
	Revision string   `json:"revision,omitempty"` // of hubs and devices
	Devices  []Held   `json:"devices,omitempty"`  // a page by ID; none where the hub has this revision
	More     bool     `json:"more,omitempty"`     // another page follows
}

func (b *Leased) check() error {
	for _, h := range b.Hubs {
		if err := text(h.Label); err != nil {
			return err
		}
	}
	for _, d := range b.Devices {
		if err := first(names(d.Hub), text(d.MAC)); err != nil {
			return err
		}
	}
	return first(
		names(b.Account), text(b.Revision), list(b.Hubs, MaxHubs, func(h Sharer) string { return h.ID }),
		list(b.Devices, MaxDevices, func(d Held) string { return d.ID }),
	)
}

// Sharer is a hub of the account.
type Sharer struct {
	ID    string `json:"id"`
	Label string `json:"label,omitempty"` // for people
	Live  bool   `json:"live,omitempty"`  // it has renewed its lease: its devices are its own
}

// Held is a device of the account, and the hub that holds it: that one alone moves it and signs it in.
type Held struct {
	ID       string `json:"id"`
	Hub      string `json:"hub"`
	MAC      string `json:"mac,omitempty"`
	Rank     uint8  `json:"rank,omitempty"`             // proof rank, as in Device
	SignedIn uint64 `json:"signed_in,string,omitempty"` // the newest epoch at which it is signed in
}
