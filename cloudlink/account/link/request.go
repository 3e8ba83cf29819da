package link

import (
	"errors"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// request is one message of a member. A change is on the store's disk before it is answered. The answers are sent in
// order; an error that is no condition of the store is this side's own.
type request struct {
	l        *Link
	m        *wire.Message
	from     account.Member // zero for one that enrols for the first time
	pos      account.Position
	repeated bool // the member's last change again: its answer was lost
}

// take takes one message: its form, its sender, whether it is new, and then its contents.
func (l *Link) take(member string, raw []byte) {
	m, err := wire.ParseMessage(raw)
	if err != nil {
		l.dropped("malformed", member, err)
		return
	}
	r := &request{l: l, m: m, pos: account.Position{Member: member, Seq: m.Seq}}
	r.from, err = l.st.Member(member)
	keys, enrols := enrolKeys(m.Body)
	switch {
	case err != nil && !errors.Is(err, home.ErrNotFound):
		l.o.Log.Error("member not read", "member", member, "err", err)
		return
	case enrols:
	case err == nil:
		keys = r.from.Keys
	default:
		// It is not a member (any more), and needs the refusal to do something about it.
		if m.From == member && m.To == l.id.Name {
			r.strangersNotice()
			r.answer(&wire.Refusal{Code: wire.CodeUnknown, Detail: "enrol first"})
		}
		return
	}
	if err = m.Verify(keys, l.id.Name); err != nil || m.From != member {
		l.dropped("forged", member, errors.Join(err, home.ErrForged))
		return
	}
	row, known := messages[m.Type]
	if !known {
		l.dropped("unexpected", member, nil)
		return
	}
	if fresh, err := r.fresh(row.order); err != nil {
		l.o.Log.Error("member not read", "member", member, "err", err)
		return
	} else if !fresh {
		l.dropped("replayed", member, nil)
		return
	}
	if m.Expired(l.s.Now(), false) {
		l.dropped("expired", member, nil)
		return
	}
	answers, err := row.answer(r)
	switch {
	case errors.Is(err, account.ErrReplayed):
		l.dropped("replayed", member, nil)
		return
	case errors.Is(err, account.ErrEpoch):
		answers = []wire.Body{&wire.Refusal{Code: wire.CodeOldEpoch}}
	case errors.Is(err, home.ErrForged):
		l.dropped("forged", member, err)
		answers = []wire.Body{&wire.Refusal{Code: wire.CodeForged}}
	case errors.Is(err, home.ErrNotFound): // removed meanwhile
		answers = []wire.Body{&wire.Refusal{Code: wire.CodeUnknown}}
	case err != nil:
		l.o.Log.Error("message not processed", "type", m.Type, "member", member, "err", err)
		answers = []wire.Body{&wire.Refusal{Code: wire.CodeBusy, Detail: "try again"}}
	}
	for _, b := range answers {
		r.answer(b)
	}
}

// fresh returns whether the message is no replay. The store compares the number again in the transaction of a change.
func (r *request) fresh(o order) (bool, error) {
	if o == judged {
		return true, nil
	}
	last, err := r.l.st.LastSeq(r.from.Name)
	r.repeated = r.m.Seq == last
	return r.m.Seq > last || r.repeated && o == change, err
}

func (r *request) answer(b wire.Body) {
	if refusal, ok := b.(*wire.Refusal); ok {
		r.l.o.Log.Debug("message refused", "type", r.m.Type, "member", r.pos.Member, "code", refusal.Code)
	}
	if err := r.l.send(r.pos.Member, r.m.ID, b); err != nil && !errors.Is(err, home.ErrUnavailable) {
		r.l.o.Log.Error("answer not sent", "type", wire.TypeOf(b), "member", r.pos.Member, "err", err)
	}
}

func refuse(code, detail string) []wire.Body {
	return []wire.Body{&wire.Refusal{Code: code, Detail: detail}}
}

// foreign refuses a message about another account: a member acts for its own.
func (r *request) foreign(id string) []wire.Body {
	if id != r.from.Account {
		return refuse(wire.CodeForeign, "another account")
	}
	return nil
}

// receipt answers a change, with the account's newest notice: the account may have changed meanwhile.
func (r *request) receipt(refused []wire.Outcome) ([]wire.Body, error) {
	a, err := r.l.st.Account(r.from.Account)
	return []wire.Body{&wire.Receipt{Account: a.ID, Epoch: a.Epoch, Notice: a.Notice, Refused: refused}}, err
}
