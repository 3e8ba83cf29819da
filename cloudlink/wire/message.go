package wire

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Message is everything in an inbox or an outbox, and everything at the endpoint of a native device. It travels as a
// JWS with this JSON as payload.
type Message struct {
	Type string `json:"type"`
	ID   string `json:"id"`                   // 26 random characters
	Re   string `json:"re,omitempty"`         // ID of the message that this one answers
	From string `json:"from"`                 // a member or the service
	To   string `json:"to"`                   // a member or the service
	Seq  uint64 `json:"seq,omitempty,string"` // in outboxes: ever growing, so that the service does nothing twice
	At   int64  `json:"at"`                   // Unix milliseconds
	Exp  int64  `json:"exp,omitempty"`        // Unix milliseconds; see Expired
	Body Body   `json:"body"`

	signed jws // as it was read, for Verify
}

// NewID returns the ID of a new message: 26 characters, 130 random bits.
func NewID() string { return strings.ToLower(rand.Text()) }

// Sign completes m (type, ID, sender) and returns it signed, as it travels. At and Exp are the caller's.
func (id *Identity) Sign(m *Message) ([]byte, error) {
	m.Type, m.From = TypeOf(m.Body), id.Name
	if m.ID == "" {
		m.ID = NewID()
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	payload, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("message %s: %w", m.Type, err)
	}
	raw := id.signJWS(kindOf[m.Type].way.use(), payload)
	if len(raw) > MaxMessage {
		return nil, fmt.Errorf("message %s: %d bytes, at most %d", m.Type, len(raw), MaxMessage)
	}
	return raw, nil
}

// ParseMessage reads a message and checks its form. It does not check the sender: Verify does.
func ParseMessage(raw []byte) (*Message, error) {
	if len(raw) > MaxMessage {
		return nil, fmt.Errorf("message of %d bytes, at most %d", len(raw), MaxMessage)
	}
	signed, err := parseJWS(raw)
	if err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	var m Message
	payload, from, to := signed.payload, signed.body[0], signed.body[1]
	envelope, body := payload, bytes.TrimSpace(payload[from:to])
	if len(body) > 0 { // it can be large, and is read once
		envelope = slices.Concat(payload[:from], []byte("null"), payload[to:])
	}
	if err := json.Unmarshal(envelope, &m); err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	if m.Body = newBody(signed.use, m.Type); m.Body == nil {
		return nil, fmt.Errorf("message of unknown type %q with typ %q", clip(m.Type), clip(string(signed.use)))
	}
	if len(body) == 0 || string(body) == "null" {
		return nil, fmt.Errorf("message %s: no body", m.Type)
	}
	if err := json.Unmarshal(body, m.Body); err != nil {
		return nil, fmt.Errorf("message %s: %w", m.Type, err)
	}
	m.signed = signed
	if err := m.check(); err != nil {
		return nil, err
	}
	return &m, nil
}

// Verify checks that the member with the keys k sent m, and sent it to `to`, as it was read. It returns home.ErrForged.
func (m *Message) Verify(k Keys, to string) error {
	if m.To != to || !k.Is(m.From) {
		return fmt.Errorf("message %s from %s to %s: %w", m.Type, m.From, m.To, home.ErrForged)
	}
	if err := m.signed.verify(k.Sign); err != nil {
		return fmt.Errorf("message %s from %s: %w", m.Type, m.From, err)
	}
	return nil
}

// Expired returns whether m must not be acted on any more. A message that answers a request of the receiver is fresh
// whatever the clocks show.
func (m *Message) Expired(now time.Time, asked bool) bool {
	return !asked && m.Exp != 0 && now.UnixMilli() > m.Exp
}

func (m *Message) check() error {
	if !ValidName(m.ID) || m.Re != "" && !ValidName(m.Re) || !ValidName(m.From) || !ValidName(m.To) {
		return fmt.Errorf("message %s: a name is missing or malformed", clip(m.Type))
	}
	if err := m.Body.check(); err != nil {
		return fmt.Errorf("message %s: %w", m.Type, err)
	}
	return nil
}

// clip shortens a stranger's text for a log.
func clip(s string) string {
	if len(s) > 40 {
		s = s[:40]
	}
	return strings.ToValidUTF8(s, "?")
}
