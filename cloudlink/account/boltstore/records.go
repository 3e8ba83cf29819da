package boltstore

import (
	"encoding/json"

	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// Records are the values in the file. They change with a migration only: the tags are the format, the names of Go
// fields are not. Times are Unix milliseconds; boxes are sealed.

type accountRecord struct {
	ID     string   `json:"id"`
	Email  string   `json:"email"`
	Hash   []byte   `json:"hash"` // box "hash/ID"
	Epoch  uint64   `json:"epoch"`
	Notice notice   `json:"notice"` // as it is published
	Ahead  notice   `json:"ahead,omitempty"`
	Secret []byte   `json:"secret"` // box "epoch/ID"
	Links  []string `json:"links,omitempty"`
	At     int64    `json:"at"`
	Lang   string   `json:"lang,omitempty"`
	Closed bool     `json:"closed,omitempty"`

	TerminalsSince uint64 `json:"terminals_since,omitempty"`
}

type linkRecord struct {
	Purpose string `json:"purpose"`
	Account string `json:"account"`
	Epoch   uint64 `json:"epoch"`
	Door    string `json:"door"`
	At      int64  `json:"at,omitempty"`
	Expires int64  `json:"expires"`
}

type registrationRecord struct {
	Account string `json:"account"`
	Email   string `json:"email"`
	Hash    []byte `json:"hash"` // box "hash/Account"
	Door    string `json:"door"`
	Lang    string `json:"lang,omitempty"`
	At      int64  `json:"at"`
	Expires int64  `json:"expires"`
}

type sessionRecord struct {
	Refresh  bool   `json:"refresh,omitempty"`
	Entry    string `json:"entry"`
	Door     string `json:"door"`
	Terminal string `json:"terminal,omitempty"`
	Expires  int64  `json:"expires"`
	At       int64  `json:"at"`
}

type pairingRecord struct {
	Account  string `json:"account"`
	Secret   []byte `json:"secret"` // box "pairing/NAME"
	Expires  int64  `json:"expires"`
	Password []byte `json:"password,omitempty"` // box "pairing/NAME/password"
	Epoch    uint64 `json:"epoch,omitempty"`
	Used     string `json:"used,omitempty"`
}

type memberRecord struct {
	Name    string     `json:"name"`
	Account string     `json:"account"`
	Keys    keysRecord `json:"keys"`
	Seal    []byte     `json:"seal,omitempty"`
	Label   string     `json:"label"`
	Version string     `json:"version"`
	At      int64      `json:"at"`
	Acked   uint64     `json:"acked"`
	Boot    uint64     `json:"boot,omitempty"`
	Clock   int64      `json:"clock,omitempty"` // milliseconds
}

type keysRecord struct {
	Sign []byte `json:"sign"`
	Seal []byte `json:"seal"`
}

type grantRecord struct {
	Notice notice `json:"notice"`
	Sealed []byte `json:"sealed"` // to the member
}

// answeredRecord is a member's last message that changed something, and the answer to it.
type answeredRecord struct {
	Seq     uint64          `json:"seq"`
	Refused []outcomeRecord `json:"refused,omitempty"`
}

type outcomeRecord struct {
	ID   string `json:"id"`
	Code string `json:"code"`
}

type deviceRecord struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Protocol string `json:"protocol"`
	Rank     uint8  `json:"rank,omitempty"`
	Model    string `json:"model,omitempty"`
	Name     string `json:"name,omitempty"`
	MAC      string `json:"mac,omitempty"`
	Account  string `json:"account"`
	Holder   string `json:"holder"`
	Secret   []byte `json:"secret,omitempty"` // box "binding/ACCOUNT/ID"; up to format 3 "binding/ID"
}

// Describe is boltfile.FieldRecord: an app's list of devices and a sign-in read records by the thousand. The tags read
// the formats up to 5.
func (r *deviceRecord) Describe(f *boltfile.Fields) {
	boltfile.Text(f, 1, &r.ID)
	boltfile.Text(f, 2, &r.Kind)
	boltfile.Text(f, 3, &r.Protocol)
	boltfile.Uint(f, 4, &r.Rank)
	boltfile.Text(f, 5, &r.Model)
	boltfile.Text(f, 6, &r.Name)
	boltfile.Text(f, 7, &r.MAC)
	boltfile.Text(f, 8, &r.Account)
	boltfile.Text(f, 9, &r.Holder)
	boltfile.Text(f, 10, &r.Secret)
}

type mailRecord struct {
	Mail  letterRecord `json:"mail"`
	Tries int          `json:"tries"`
}

type letterRecord struct {
	ID      string `json:"id"`
	Account string `json:"account,omitempty"`
	To      string `json:"to"`
	Lang    string `json:"lang"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
	HTML    string `json:"html,omitempty"`
	At      string `json:"at"`      // RFC 3339
	Expires string `json:"expires"` // RFC 3339
}

type eventRecord struct {
	At     int64  `json:"at"`
	What   string `json:"what"`
	Door   string `json:"door,omitempty"`
	Epoch  uint64 `json:"epoch,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// notice is the text of a notice. The object of format 3 and older reads as no notice: Open signs a new one.
type notice string

// UnmarshalJSON reads a notice.
func (n *notice) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '{' {
		return nil
	}
	return json.Unmarshal(raw, (*string)(n))
}
