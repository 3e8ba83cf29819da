package link

import (
	"bytes"
	"errors"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// hello answers with each grant that the member has missed, and then a welcome. A member whose newest grant is older
// than one that it acknowledged comes from a backup: that grant is deleted, and a new pairing is needed.
func (r *request) hello(b *wire.Hello) ([]wire.Body, error) {
	l := r.l
	if no := r.foreign(b.Account); no != nil {
		return no, nil
	}
	v, err := l.st.View(r.from.Name, nil)
	if err != nil {
		return nil, err
	}
	a, now := v.Account, l.s.Now()
	if b.Epoch < v.Member.Acked {
		return refuse(wire.CodeUnknown, "this state is older than an epoch that was acknowledged: enrol again"), nil
	}
	if err := r.noteAhead(a, b.Notice); err != nil {
		return nil, err
	}
	// The member's clock minus this one: relays expire by the member's clock. A hello that was delayed makes them expire
	// earlier.
	if err := l.st.Hello(r.from.Name, b.Boot, time.Duration(b.Clock-now.UnixMilli())*time.Millisecond); err != nil {
		return nil, err
	}
	gs, err := l.st.Grants(r.from.Name, b.Epoch)
	if err != nil {
		return nil, err
	}
	var answers []wire.Body
	for _, g := range gs {
		answers = append(answers, &wire.Grant{Notice: g.Notice, Sealed: g.Sealed})
	}
	seal := v.Member.SealKey()
	challenge := l.id.KeyChallenge(a.ID, r.from.Name, seal)
	sealed, err := wire.Keys{Seal: seal}.SealTo(wire.ChallengeInfo(a.ID, r.from.Name), challenge)
	if err != nil {
		return nil, err
	}
	shared, err := r.shared()
	return append(answers, &wire.Welcome{
		Account: a.ID, Epoch: a.Epoch, Notice: a.Notice, Nonce: l.id.SignInNonce(a.ID, r.from.Name, a.Epoch, now),
		Seal: seal, Challenge: sealed, Shared: shared,
	}), err
}

// shared reports whether the sender is a hub of an account that has several.
func (r *request) shared() (bool, error) {
	if !r.from.IsHub() {
		return false, nil
	}
	ms, err := r.l.st.Members(r.from.Account)
	return len(ms) > 1 && ms[1].IsHub(), err // hubs come first
}

// noteAhead keeps a notice of this service that its state does not have, because that was restored from a backup: the
// next epoch follows it. Whoever shows the notice, this service has signed it.
func (r *request) noteAhead(a account.Account, n wire.Notice) error {
	l := r.l
	unknown := n.Epoch > a.Epoch || n.Epoch == a.Epoch && !bytes.Equal(n.Hash(), a.Notice.Hash())
	if !unknown || n.Epoch == 0 || n.Verify(l.id.Keys, a.ID) != nil {
		return nil
	}
	l.o.Log.Error("a member has a notice that this service lacks: its state is older (restored from a backup?)",
		"account", a.ID, "member", r.pos.Member, "epoch", a.Epoch, "notice_epoch", n.Epoch)
	return l.st.NoteAhead(n)
}

// strangersNotice keeps the notice in the hello of a hub that this state does not know: it enrolled after the backup.
func (r *request) strangersNotice() {
	b, ok := r.m.Body.(*wire.Hello)
	if !ok || b.Notice.Epoch == 0 {
		return
	}
	a, err := r.l.st.Account(b.Notice.Account)
	if err == nil {
		err = r.noteAhead(a, b.Notice)
	}
	if err != nil && !errors.Is(err, home.ErrNotFound) {
		r.l.o.Log.Error("notice not kept", "account", b.Notice.Account, "err", err)
	}
}

// ack records that the newest grant is on the member's disk, and replaces the member's sealing key.
func (r *request) ack(b *wire.Ack) ([]wire.Body, error) {
	if no := r.foreign(b.Account); no != nil {
		return no, nil
	}
	if len(b.Seal) != 32 {
		return refuse(wire.CodeForged, "no sealing key"), nil
	}
	v, err := r.l.st.View(r.from.Name, nil)
	if err != nil {
		return nil, err
	}
	a, m, seal := v.Account, v.Member, v.Member.SealKey()
	if b.Epoch != a.Epoch {
		return nil, account.ErrEpoch
	}
	// Without a change: the answer was lost, and the member has restarted since.
	if !bytes.Equal(b.Seal, seal) || m.Acked != b.Epoch {
		want := wire.KeyChange{
			Account: a.ID, Member: m.Name, Epoch: b.Epoch, Seal: b.Seal, Message: r.m.ID,
			EpochSecret: a.Secret, Challenge: r.l.id.KeyChallenge(a.ID, m.Name, seal),
		}.Proof()
		if !wire.Equal(want, b.Proof) {
			return nil, home.ErrForged
		}
	}
	err = r.l.st.Acknowledge(r.pos, account.Acknowledgement{
		Account: b.Account, Epoch: b.Epoch, Seal: b.Seal, Replaces: seal,
	})
	if err != nil {
		return nil, err
	}
	return r.receipt(nil)
}
