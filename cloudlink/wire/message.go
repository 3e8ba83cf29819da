package wire

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Message is the signed envelope of everything that goes through an inbox or an outbox, or through a device's door.
type Message struct {
	Type string `json:"type"`
	ID   string `json:"id"`            // 26 random characters
	Re   string `json:"re,omitempty"`  // the message that this one answers
	From string `json:"from"`          // a member or the service
	To   string `json:"to"`            // a member or the service
	Seq  uint64 `json:"seq,omitempty"` // of members only: ever growing, so that the service does nothing twice
	At   int64  `json:"at"`            // Unix milliseconds
	Exp  int64  `json:"exp,omitempty"` // Unix milliseconds; not to be acted on later unless it answers what was just asked
	Body Body   `json:"body"`
	Sig  []byte `json:"sig"`
}

// Body is the part of a message that differs from type to type; they stand in bodies.go.
type Body interface {
	// Type is the message's type.
	Type() string
	check() error
}

// NewID returns the name of a new message: 26 characters, 130 random bits.
func NewID() string { return strings.ToLower(rand.Text()) }

// signed is what the signature of m is over.
func (m *Message) signed() []byte {
	return Encode("rekeyd/v1/message", m.Type, m.ID, m.Re, m.From, m.To, m.Seq, m.At, m.Exp, m.Body)
}

// Sign completes m (type, ID, sender), signs it and returns it as JSON. At and Exp are the caller's.
func (id *Identity) Sign(m *Message) ([]byte, error) {
	m.Type, m.From = m.Body.Type(), id.Name
	if m.ID == "" {
		m.ID = NewID()
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	m.Sig = id.Signature(m.signed())
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("message %s: %w", m.Type, err)
	}
	if len(raw) > MaxMessage {
		return nil, fmt.Errorf("message %s: %d bytes, at most %d", m.Type, len(raw), MaxMessage)
	}
	return raw, nil
}

// ParseMessage reads a message and checks its form. It says nothing of who sent it: Verify does.
func ParseMessage(raw []byte) (*Message, error) {
	if len(raw) > MaxMessage {
		return nil, fmt.Errorf("message of %d bytes, at most %d", len(raw), MaxMessage)
	}
	var m struct {
		Message
		Body json.RawMessage `json:"body"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	body := newBody(m.Type)
	if body == nil {
		return nil, fmt.Errorf("message of unknown type %q", clip(m.Type))
	}
	if len(m.Body) == 0 || bytes.Equal(m.Body, []byte("null")) {
		return nil, fmt.Errorf("message %s: no body", m.Type)
	}
	if err := json.Unmarshal(m.Body, body); err != nil {
		return nil, fmt.Errorf("message %s: %w", m.Type, err)
	}
	m.Message.Body = body
	if err := m.check(); err != nil {
		return nil, err
	}
	return &m.Message, nil
}

// Verify checks that the member with the keys k sent m, and sent it to `to`. It returns home.ErrForged.
func (m *Message) Verify(k Keys, to string) error {
	if m.To != to || !k.Is(m.From) {
		return fmt.Errorf("message %s from %s to %s: %w", m.Type, m.From, m.To, home.ErrForged)
	}
	if err := k.Verify(m.signed(), m.Sig); err != nil {
		return fmt.Errorf("message %s from %s: %w", m.Type, m.From, err)
	}
	return nil
}

// Expired tells whether m must not be acted on any more. A message that answers what the receiver itself just asked (re is
// the name of that request) is fresh by that, whatever the clocks say.
func (m *Message) Expired(now time.Time, asked bool) bool {
	return !asked && m.Exp != 0 && now.UnixMilli() > m.Exp
}

func (m *Message) check() error {
	switch {
	case !ValidName(m.ID), m.Re != "" && !ValidName(m.Re), !ValidName(m.From), !ValidName(m.To):
		return fmt.Errorf("message %s: a name is missing or malformed", clip(m.Type))
	}
	if err := m.Body.check(); err != nil {
		return fmt.Errorf("message %s: %w", m.Type, err)
	}
	return nil
}

// clip keeps what a stranger sent from filling a log.
func clip(s string) string {
	if len(s) > 40 {
		s = s[:40]
	}
	return strings.ToValidUTF8(s, "?")
}
