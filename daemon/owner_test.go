package daemon_test

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// The rule who receives a password, stated a second time (daemon/DESIGN.md, section 6): from what an owner ordered and
// what hosts proved, without home.Terms, home.Binding or the store.

// owner is what the owner of a house ordered, and the strongest proof of each bound device.
type owner struct {
	at      time.Time // when this copy was made
	later   bool      // devices that prove a password are bound by themselves
	bound   map[home.DeviceID]bool
	leftOut map[home.DeviceID]bool // unbound by the owner
	held    map[home.DeviceID]bool // found to hold a password of the account
	rank    map[home.DeviceID]home.ProofRank
	fresh   map[home.DeviceID]time.Time  // end of the factory-fresh consent
	clear   map[home.DeviceID]clearAt    // the cleartext consent
	exposed home.Epoch                   // proofs of older passwords are worth nothing
	own     map[home.DeviceID]bool       // gave the device's own password
	moveAll map[home.DeviceID]home.Epoch // the owner's answer, given when this epoch was the exposed one
}

type clearAt struct {
	addr     netip.Addr
	protocol home.Protocol
}

func newOwner() owner {
	return owner{
		bound: map[home.DeviceID]bool{}, leftOut: map[home.DeviceID]bool{}, held: map[home.DeviceID]bool{},
		rank: map[home.DeviceID]home.ProofRank{}, fresh: map[home.DeviceID]time.Time{},
		clear: map[home.DeviceID]clearAt{}, moveAll: map[home.DeviceID]home.Epoch{},
		own: map[home.DeviceID]bool{},
	}
}

func (o owner) clone() owner {
	o.at = time.Now()
	o.bound, o.rank, o.fresh = maps.Clone(o.bound), maps.Clone(o.rank), maps.Clone(o.fresh)
	o.leftOut, o.held = maps.Clone(o.leftOut), maps.Clone(o.held)
	o.clear, o.moveAll, o.own = maps.Clone(o.clear), maps.Clone(o.moveAll), maps.Clone(o.own)
	return o
}

// found takes a finding into account: a proof is a floor for the next ones, and ends the factory-fresh consent. A
// factory credential where the device held a password may be another device's: it is no floor without the consent,
// which an order to bind a device that is current does not give.
func (o owner) found(id home.DeviceID, f home.Finding) {
	if !o.bound[id] { // the binding begins after this finding, and does not contain its rank
		o.bound[id] = o.later && !o.leftOut[id] && f.Rank == home.ProvesFirst && f.Match == home.Ours
		return
	}
	switch f.Verdict.State {
	case home.Current, home.Stale:
		o.held[id] = o.held[id] || f.Verdict.Epoch != 0
		delete(o.fresh, id)
		o.rank[id] = max(o.rank[id], f.Rank)
	case home.Default:
		if !o.held[id] {
			o.rank[id] = max(o.rank[id], f.Rank)
		}
	}
}

func (o owner) bind(id home.DeviceID) {
	o.bound[id] = true
	delete(o.leftOut, id)
}

// unbind forgets all that was ordered for a device.
func (o owner) unbind(id home.DeviceID) {
	o.leftOut[id] = true
	delete(o.bound, id)
	delete(o.held, id)
	delete(o.rank, id)
	delete(o.fresh, id)
	delete(o.clear, id)
	delete(o.moveAll, id)
	delete(o.own, id)
}

// reason returns why the secret may have been sent, empty where it may not.
func (o owner) reason(r receipt) string {
	if !o.bound[r.device] || r.rank < o.rank[r.device] || r.own && !o.own[r.device] {
		return ""
	}
	if r.rank < home.ProvesFirst {
		if o.clear[r.device] == (clearAt{r.at, r.protocol}) {
			return "cleartext consent"
		}
		return ""
	}
	if len(r.proved) > 0 && (slices.Max(r.proved) >= o.exposed || o.moveAll[r.device] == o.exposed) {
		return "proof"
	}
	if r.fresh && o.at.Before(o.fresh[r.device]) {
		return "factory-fresh consent"
	}
	return ""
}
