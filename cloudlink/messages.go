package cloudlink

import (
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// messages is the table of messages at this end, by type. A request has a row with its answer; a refusal is always the
// other one. The kind of a request, and of an errand, is the type of its message.
var messages = map[string]row{
	"enrol":   {answer: "enrolled"},
	"hello":   {answer: "welcome"},
	"ack":     {answer: "receipt", send: (*Link).sendAck},
	"bind":    {answer: "receipt", send: (*Link).sendBind},
	"unbind":  {answer: "receipt", send: (*Link).sendUnbind},
	"sign-in": {answer: "signed-in", send: (*Link).sendSignIn, most: wire.MaxProven},
	"lease":   {answer: "leased"},
	"relayed": {}, // answers a relay, and has no answer

	"enrolled":  {take: take((*Link).enrolled)},
	"welcome":   {take: take((*Link).welcome)},
	"receipt":   {take: take((*Link).receipt)},
	"signed-in": {take: take((*Link).signedIn)},
	"refusal":   {take: take((*Link).refusal)},
	"grant":     {take: take((*Link).grant), unasked: true},
	"leased":    {take: take((*Link).leased), unasked: true},
	"relay":     {take: take((*Link).relay), unasked: true},
}

// row is a row of the table.
type row struct {
	answer  string // to a request: the type of message that answers it
	send    send   // of a request about errands
	most    int    // devices a request; wire.MaxDevices when zero
	take    taking // of a message from the service
	unasked bool   // the service sends it without a request, too
}

type (
	send   func(l *Link, now time.Time, a home.Account, r *request, devices []string) error
	taking func(l *Link, r *request, m *wire.Message) error
)

func take[B wire.Body](handle func(*Link, *request, *wire.Message, B) error) taking {
	return func(l *Link, r *request, m *wire.Message) error { return handle(l, r, m, m.Body.(B)) }
}

// taker returns the function that takes m, or nil where m may not be taken. r is the request that m answers, or nil.
func taker(m *wire.Message, r *request) taking {
	switch row := messages[m.Type]; {
	case row.unasked, r != nil && (m.Type == "refusal" || m.Type == messages[string(r.kind)].answer):
		return row.take
	}
	return nil
}
