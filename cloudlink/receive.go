package cloudlink

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// receive takes one message from the broker. Its changes are on disk when it returns, and only then is it acknowledged.
func (l *Link) receive(m mqtt.Message) {
	t, ok := wire.ParseTopic(m.Topic)
	switch {
	case ok && t.Leaf == "notice":
		l.notice(m.Payload, m.Retained)
	case ok && t.Leaf == "inbox" && t.Name == l.o.Identity.Name:
		l.inbox(m.Payload)
	default:
		l.drop(unexpected, "a message on a topic without a subscription", nil)
	}
}

// inbox takes one message of the service. It checks the sender, then whether the message answers a request or is fresh.
func (l *Link) inbox(raw []byte) {
	m, err := wire.ParseMessage(raw)
	if err != nil {
		l.drop(malformed, "a message that cannot be read", err)
		return
	}
	keys, err := l.service()
	if err == nil {
		err = m.Verify(keys, l.o.Identity.Name)
	}
	if err != nil {
		l.distrust("a message", err)
		return
	}
	l.o.Log.Debug("message received", "type", m.Type, "id", m.ID, "re", m.Re)
	l.mu.Lock()
	r := l.pending
	if r != nil && r.id != m.Re {
		r = nil
	}
	if r != nil { // any other message may be a replay: it does not show that the service is there
		l.answeredAt, l.misses = time.Now(), 0
		if l.conn != nil {
			l.conn.Worked()
		}
	}
	l.mu.Unlock()
	if m.Expired(time.Now(), r != nil) {
		l.drop(expired, "a message that came too late", nil)
		return
	}
	take := taker(m, r)
	if take == nil {
		l.ignore(unexpected) // late, doubled or replayed: no request waits for it
		return
	}
	if err := take(l, r, m); err != nil {
		l.distrust("a message of type "+m.Type, err)
	}
}

// service returns the keys of the account service: pinned at enrolment, or those of the pairing that is in use.
func (l *Link) service() (wire.Keys, error) {
	l.mu.Lock()
	o := l.offer
	l.mu.Unlock()
	if o != nil && !o.enrolled {
		return o.pairing.Service, nil
	}
	a, err := l.o.Store.Account()
	return serviceKeys(a), err
}

// refusal handles a request that was refused as a whole.
func (l *Link) refusal(r *request, _ *wire.Message, b *wire.Refusal) error {
	l.mu.Lock()
	l.requestsRefused++
	l.ahead = nil // its nonce or its epoch may be the refused one
	l.mu.Unlock()
	l.o.Log.Warn("request refused", "request", r.kind, "code", b.Code, "detail", b.Detail)
	switch {
	case r.kind == kindEnrol && l.o.Secret.IsZero():
		l.settle(enrolError(b))
	case r.kind == kindEnrol: // the hub may bind this device any moment
		l.mu.Lock()
		l.enrolAgain = time.Now().Add(min(100*time.Millisecond<<min(l.turned, 12), time.Minute))
		l.turned++
		if l.unsealed { // a later welcome decides again
			l.unsealed, l.asked = false, time.Now().Add(time.Minute-l.o.AskEvery)
		}
		l.mu.Unlock()
	case b.Code == wire.CodeNonce && len(b.Nonce) > 0:
		l.mu.Lock()
		again := l.renewed
		l.nonce, l.renewed = b.Nonce, true
		l.mu.Unlock()
		if !again { // the errands are sent at once, with the new nonce
			l.finish(r)
			return nil
		}
	case b.Code == wire.CodeOldEpoch:
		l.askSoon()
	case r.kind == kindHello && b.Code == wire.CodeUnknown:
		l.mu.Lock()
		l.member = false
		l.trouble = "the account no longer knows this hub: run rekeyd login"
		l.asked = time.Now().Add(time.Minute - l.o.AskEvery)
		l.mu.Unlock()
		if l.o.Expelled != nil {
			l.o.Expelled()
		}
	case b.Code == wire.CodeForeign && r.kind != kindEnrol: // until a welcome, which answers a later hello
		l.mu.Lock()
		l.trouble = "the account service has this hub in another account: run rekeyd login"
		l.asked = time.Now().Add(time.Minute - l.o.AskEvery)
		l.mu.Unlock()
	case r.kind == kindHello:
		l.mu.Lock()
		l.asked = time.Now().Add(l.o.Patience - l.o.AskEvery)
		l.mu.Unlock()
	}
	l.rest(r, slices.Collect(maps.Keys(r.errands))...)
	l.finish(r)
	l.recordDown()
	return nil
}

// enrolError maps a refused enrolment of a hub to an error with a hint for the owner.
func enrolError(b *wire.Refusal) error {
	err := fmt.Errorf("refused by the account service: %s", b.Code)
	hint := "the pairing is used up or too old: sign in again with: rekeyd login EMAIL"
	if b.Code == wire.CodeForeign {
		err = fmt.Errorf("the account service has this hub in another account: %w", home.ErrForeign)
		hint = "have the owner of that account remove this hub on the account's page, then sign in again"
	}
	return &home.Error{Op: "enrol this hub", Err: err, Hint: hint}
}

// distrust drops a message that is not acted on, with the reason that err gives.
func (l *Link) distrust(what string, err error) {
	switch {
	case errors.Is(err, home.ErrForged):
		l.drop(forged, what+" that the account service did not sign", err)
	case errors.Is(err, home.ErrOldEpoch):
		l.drop(old, what+" of an older epoch", err)
	case errors.Is(err, home.ErrReplayed):
		l.ignore(replayed)
	case errors.Is(err, home.ErrNoAccount):
		l.ignore(unexpected)
	default:
		l.o.Log.Error("message not processed", "what", what, "err", err)
	}
}

// The reasons why a message is not acted on.
const (
	malformed  = "malformed"
	forged     = "forged"
	old        = "old"
	replayed   = "replayed"
	expired    = "expired"
	unexpected = "unexpected"
)

const dropped = "message dropped"

// ignore logs a message that an honest service or broker can cause, and that changes nothing.
func (l *Link) ignore(reason string) { l.o.Log.Debug(dropped, "reason", reason) }

// drop logs a message that is not acted on, and records it in the history, at most once a minute for each kind: whoever
// can publish must not be able to wear out the disk, or to fill the log. The others are debug messages.
func (l *Link) drop(reason, what string, err error) {
	now := time.Now()
	l.mu.Lock()
	last, known := l.recorded[what]
	again := known && now.Sub(last) < time.Minute
	if !again {
		l.recorded[what] = now
	}
	l.mu.Unlock()
	if again {
		l.o.Log.Debug(dropped, "reason", reason, "what", what, "err", err)
		return
	}
	l.o.Log.Warn(dropped, "reason", reason, "what", what, "err", err)
	if err := l.o.Store.Record(home.Event{At: now.UTC().Round(0), What: "message refused", Detail: what}); err != nil {
		l.o.Log.Error("history not written", "err", err)
	}
}
