package storetest

import (
	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// A hub can enrol while an epoch begins. The change then fails with ErrMembers, and is repeated with a grant for that
// hub.
func anEpochLeavesNoMemberWithoutAGrant(r *rig) {
	a := r.account("anna")
	hub := r.hub(a)
	t := r.change(a)
	later := r.hub(a) // enrols between
	r.fails(r.s.BeginEpoch(t), account.ErrMembers)
	t = r.change(a)
	r.must(r.s.BeginEpoch(t))
	for _, name := range []string{hub, later} {
		gs, err := r.s.Grants(name, 1)
		r.must(err)
		if len(gs) != 1 || gs[0].Notice.Epoch != 2 || string(gs[0].Sealed) != "sealed 2" {
			r.Errorf("grants of %s: %v", name, gs)
		}
	}
}

// aGrantIsSealedToTheMembersNewestKey: a copy of a hub's older state opens no later password.
func aGrantIsSealedToTheMembersNewestKey(r *rig) {
	a := r.account("anna")
	hub := r.hub(a)
	t := r.change(a) // sealed to the key of the enrolment
	r.must(r.s.Acknowledge(r.message(hub), r.ack(hub, 1, []byte("newer"))))
	r.fails(r.s.BeginEpoch(t), account.ErrMembers)
	r.must(r.s.BeginEpoch(r.change(a)))
}

// The last 16 grants of a member wait. An acknowledgement of the newest epoch deletes them, because they hold
// passwords; one of an older epoch deletes nothing.
func grantsWaitUntilTheyAreAcknowledged(r *rig) {
	a := r.account("anna")
	hub := r.hub(a)
	for range 20 {
		a = r.begin(a)
	}
	gs, err := r.s.Grants(hub, 0)
	r.must(err)
	if len(gs) != 16 || gs[0].Notice.Epoch != 6 || gs[15].Notice.Epoch != 21 {
		r.Errorf("%d grants, the first of epoch %d; want the last 16", len(gs), gs[0].Notice.Epoch)
	}
	gs, err = r.s.Grants(hub, 19)
	r.must(err)
	r.equal("grants after epoch 19", len(gs), 2)
	stale := r.ack(hub, 20, nil)
	r.fails(r.s.Acknowledge(r.message(hub), stale), account.ErrEpoch)
	r.must(r.s.Acknowledge(r.message(hub), r.ack(hub, 21, []byte("newer"))))
	m, err := r.s.Member(hub)
	r.must(err)
	r.equal("acknowledged", m.Acked, 21)
	r.equal("sealing key", string(m.Seal), "newer")
	gs, err = r.s.Grants(hub, 0)
	r.must(err)
	r.equal("grants, which hold passwords", len(gs), 0)
}

// ack acknowledges a grant, with a new sealing key or the present one.
func (r *rig) ack(member string, epoch uint64, seal []byte) account.Acknowledgement {
	r.Helper()
	m, err := r.s.Member(member)
	r.must(err)
	if seal == nil {
		seal = m.SealKey()
	}
	return account.Acknowledgement{Account: m.Account, Epoch: epoch, Seal: seal, Replaces: m.SealKey()}
}

// A sealing key is replaced only with a message that was verified against the present one; a refused message uses no
// sequence number up.
func aSealingKeyIsReplacedOnce(r *rig) {
	hub := r.hub(r.account("anna"))
	r.account("bob")
	mine := r.ack(hub, 1, []byte("newer"))
	other := mine
	other.Account = "bob"
	pos := r.message(hub)
	r.fails(r.s.Acknowledge(pos, other), home.ErrNotFound)
	m, err := r.s.Member(hub)
	r.must(err)
	r.equal("acknowledged", m.Acked, 0)
	r.must(r.s.Acknowledge(pos, mine)) // the refused one used no number up
	r.must(r.s.Acknowledge(pos, mine)) // the same message again
	mine.Seal = []byte("another")
	r.fails(r.s.Acknowledge(r.message(hub), mine), account.ErrMembers) // verified against a key that was replaced
	m, err = r.s.Member(hub)
	r.must(err)
	r.equal("sealing key", string(m.Seal), "newer")
}
