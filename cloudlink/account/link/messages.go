package link

import "github.com/rekeyd/rekeyd/cloudlink/wire"

// messages is the table of messages at this end, by type: how a replay is recognised, and what answers each.
var messages = map[string]row{
	"enrol":   {judged, handle((*request).enrol)},
	"hello":   {question, handle((*request).hello)},
	"ack":     {change, handle((*request).ack)},
	"bind":    {change, handle((*request).bind)},
	"unbind":  {change, handle((*request).unbind)},
	"sign-in": {change, handle((*request).signIn)},
	"lease":   {question, handle((*request).lease)},
	"relayed": {judged, handle((*request).relayed)},
}

// row is a row of the table.
type row struct {
	order  order
	answer func(*request) ([]wire.Body, error)
}

// order is how the sequence number of a message compares with that of the member's last change.
type order int

const (
	change   order = iota // not lower: the same number is the same request again, which changes nothing
	question              // higher: it is no change, so the last change cannot be this one
	judged                // the handler judges: a new pairing begins a new count, and an answer to an app has no number
)

func handle[B wire.Body](h func(*request, B) ([]wire.Body, error)) func(*request) ([]wire.Body, error) {
	return func(r *request) ([]wire.Body, error) { return h(r, r.m.Body.(B)) }
}
