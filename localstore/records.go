package localstore

import (
	"net/netip"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// What stands in the file. Each record has a type of its own, so that a field which is renamed in daemon/home changes
// no file. A changed tag, or a field that means something else, is a new format: it needs a migration, a golden file
// (testdata/format-N.db) and its expectation in TestEveryFormatIsReadFieldByField. Fields may be added freely; a
// reader of an older file finds their zero values.

// accountRecord is the account of the hub.
type accountRecord struct {
	ID          string   `json:"ID"`
	Provider    string   `json:"Provider,omitempty"`
	Email       string   `json:"Email"`
	Epoch       uint64   `json:"Epoch"`
	ServiceKey  []byte   `json:"ServiceKey"`
	ServiceSeal []byte   `json:"ServiceSeal"`
	Notice      []byte   `json:"Notice"`
	NoticeEpoch uint64   `json:"NoticeEpoch"`
	NoticeRaw   []byte   `json:"NoticeJSON"`
	Brokers     []string `json:"Brokers"`
	URL         string   `json:"URL"`
	Exposed     uint64   `json:"Exposed,omitempty"`
	BindLater   bool     `json:"BindLater,omitempty"`
	Shared      bool     `json:"Shared,omitempty"`
}

func accountToDisk(a home.Account) accountRecord {
	return accountRecord{
		ID: string(a.ID), Provider: string(a.Provider), Email: a.Email, Epoch: uint64(a.Epoch), ServiceKey: a.ServiceKey,
		ServiceSeal: a.ServiceSeal,
		Notice:      a.Notice, NoticeEpoch: uint64(a.NoticeEpoch), NoticeRaw: a.NoticeJSON, Brokers: a.Brokers, URL: a.URL,
		Exposed: uint64(a.Exposed), BindLater: a.BindLater, Shared: a.Shared,
	}
}

func (r accountRecord) home() home.Account {
	return home.Account{
		ID:       home.AccountID(r.ID),
		Provider: home.Provider(r.Provider), Email: r.Email, Epoch: home.Epoch(r.Epoch), ServiceKey: r.ServiceKey,
		ServiceSeal: r.ServiceSeal, Notice: r.Notice, NoticeEpoch: home.Epoch(r.NoticeEpoch), NoticeJSON: r.NoticeRaw,
		Brokers: r.Brokers, URL: r.URL, Exposed: home.Epoch(r.Exposed), BindLater: r.BindLater, Shared: r.Shared,
	}
}

type verdictRecord struct {
	State  string    `json:"State"`
	Epoch  uint64    `json:"Epoch"`
	Until  time.Time `json:"Until"`
	Detail string    `json:"Detail"`
}

// bindingRecord is home.Binding. Its consents are flat, as they were added one by one. A house writes all of its
// bindings twice at each epoch, so they are messages and not JSON; the tags read the formats up to 5.
type bindingRecord struct {
	Device      string        `json:"Device"`
	Account     string        `json:"Account"`
	DeviceEpoch uint64        `json:"DeviceEpoch"`
	CloudEpoch  uint64        `json:"CloudEpoch"`
	Verdict     verdictRecord `json:"Verdict"`
	Since       time.Time     `json:"Since"`
	Tries       int           `json:"Tries"`
	Next        time.Time     `json:"Next"`
	Moved       time.Time     `json:"Moved"`
	Locked      time.Time     `json:"Locked"`
	Reverts     int           `json:"Reverts"`
	ProofRank   uint8         `json:"ProofRank"`

	FreshUntil        time.Time  `json:"FreshUntil"`
	CleartextProtocol string     `json:"CleartextProtocol"`
	CleartextAddr     netip.Addr `json:"CleartextAddr"`
	AllowedExposed    uint64     `json:"AllowedExposed"`
	Rekeyed           time.Time  `json:"Rekeyed"`
	Name              string     `json:"Name"`
}

// Describe is boltfile.FieldRecord.
func (r *bindingRecord) Describe(f *boltfile.Fields) {
	boltfile.Text(f, 1, &r.Device)
	boltfile.Text(f, 2, &r.Account)
	boltfile.Uint(f, 3, &r.DeviceEpoch)
	boltfile.Uint(f, 4, &r.CloudEpoch)
	boltfile.Text(f, 5, &r.Verdict.State)
	boltfile.Uint(f, 6, &r.Verdict.Epoch)
	describeTime(f, 7, &r.Verdict.Until)
	boltfile.Text(f, 8, &r.Verdict.Detail)
	describeTime(f, 9, &r.Since)
	boltfile.Uint(f, 10, &r.Tries)
	describeTime(f, 11, &r.Next)
	describeTime(f, 12, &r.Moved)
	describeTime(f, 13, &r.Locked)
	boltfile.Uint(f, 14, &r.Reverts)
	boltfile.Uint(f, 15, &r.ProofRank)
	describeTime(f, 16, &r.FreshUntil)
	boltfile.Text(f, 17, &r.CleartextProtocol)
	f.Binary(18, &r.CleartextAddr, !r.CleartextAddr.IsValid())
	boltfile.Uint(f, 19, &r.AllowedExposed)
	describeTime(f, 20, &r.Rekeyed)
	boltfile.Text(f, 21, &r.Name)
}

func describeTime(f *boltfile.Fields, n protowire.Number, t *time.Time) { f.Binary(n, t, t.IsZero()) }

func bindingToDisk(b home.Binding) bindingRecord {
	return bindingRecord{
		Device:  string(b.Device),
		Account: string(b.Account), DeviceEpoch: uint64(b.DeviceEpoch), CloudEpoch: uint64(b.CloudEpoch),
		Verdict: verdictRecord{string(b.Verdict.State), uint64(b.Verdict.Epoch), b.Verdict.Until, b.Verdict.Detail},
		Since:   b.Since, Tries: b.Tries, Next: b.Next, Moved: b.Moved, Locked: b.Locked, Reverts: b.Reverts,
		Rekeyed: b.Rekeyed, ProofRank: uint8(b.ProofRank), FreshUntil: b.Consents.FreshUntil,
		AllowedExposed:    uint64(b.Consents.Exposed),
		CleartextProtocol: string(b.Consents.Cleartext.Protocol), CleartextAddr: b.Consents.Cleartext.Addr,
		Name: b.Name,
	}
}

func (r bindingRecord) home() home.Binding {
	v := r.Verdict
	return home.Binding{
		Device:  home.DeviceID(r.Device),
		Account: home.AccountID(r.Account), DeviceEpoch: home.Epoch(r.DeviceEpoch), CloudEpoch: home.Epoch(r.CloudEpoch),
		Verdict: home.Verdict{State: home.State(v.State), Epoch: home.Epoch(v.Epoch), Until: v.Until, Detail: v.Detail},
		Since:   r.Since, Tries: r.Tries, Next: r.Next, Moved: r.Moved, Locked: r.Locked, Reverts: r.Reverts,
		Rekeyed: r.Rekeyed, ProofRank: home.ProofRank(r.ProofRank),
		Consents: home.Consents{
			FreshUntil: r.FreshUntil,
			Cleartext:  home.CleartextConsent{Protocol: home.Protocol(r.CleartextProtocol), Addr: r.CleartextAddr},
			Exposed:    home.Epoch(r.AllowedExposed),
		},
		Name: r.Name,
	}
}

// deviceRecord is where a bound device was last seen. The fields of its last sighting that expire are not in it.
type deviceRecord struct {
	ID       string         `json:"ID"`
	Name     string         `json:"Name"`
	Kind     string         `json:"Kind"`
	Protocol string         `json:"Protocol"`
	Model    string         `json:"Model"`
	Addr     netip.AddrPort `json:"Addr"`
	Keys     []string       `json:"Keys"`
	Seen     time.Time      `json:"Seen"`
	Owner    string         `json:"Owner,omitempty"`
}

func deviceToDisk(d home.Device) deviceRecord {
	return deviceRecord{string(d.ID), d.Name, string(d.Kind), string(d.Protocol), d.Model, d.Addr, d.Keys, d.Seen, d.Owner}
}

func (r deviceRecord) home() home.Device {
	return home.Device{
		ID:   home.DeviceID(r.ID),
		Name: r.Name, Kind: home.Kind(r.Kind), Protocol: home.Protocol(r.Protocol), Model: r.Model, Addr: r.Addr,
		Keys: r.Keys, Seen: r.Seen, Owner: r.Owner,
	}
}

type intentRecord struct {
	Device string    `json:"Device"`
	Holds  []uint64  `json:"Holds"`
	To     uint64    `json:"To"`
	At     time.Time `json:"At"`
}

func intentToDisk(i home.Intent) intentRecord {
	r := intentRecord{Device: string(i.Device), To: uint64(i.To), At: i.At}
	for _, e := range i.Holds {
		r.Holds = append(r.Holds, uint64(e))
	}
	return r
}

func (r intentRecord) home() home.Intent {
	i := home.Intent{Device: home.DeviceID(r.Device), To: home.Epoch(r.To), At: r.At}
	for _, e := range r.Holds {
		i.Holds = append(i.Holds, home.Epoch(e))
	}
	return i
}

type errandRecord struct {
	Kind   string    `json:"Kind"`
	Device string    `json:"Device"`
	Epoch  uint64    `json:"Epoch"`
	At     time.Time `json:"At"`
}

// Describe is boltfile.FieldRecord.
func (r *errandRecord) Describe(f *boltfile.Fields) {
	boltfile.Text(f, 1, &r.Kind)
	boltfile.Text(f, 2, &r.Device)
	boltfile.Uint(f, 3, &r.Epoch)
	describeTime(f, 4, &r.At)
}

func errandToDisk(e home.Errand) errandRecord {
	return errandRecord{string(e.Kind), string(e.Device), uint64(e.Epoch), e.At}
}

func (r errandRecord) home() home.Errand {
	return home.Errand{
		Kind:   home.ErrandKind(r.Kind),
		Device: home.DeviceID(r.Device),
		Epoch:  home.Epoch(r.Epoch),
		At:     r.At,
	}
}

// eventRecord is one line of the history.
type eventRecord struct {
	At     time.Time `json:"at"`
	What   string    `json:"what"`
	Device string    `json:"device,omitempty"`
	Epoch  uint64    `json:"epoch,omitempty"`
	Detail string    `json:"detail,omitempty"`
}

func eventToDisk(e home.Event) eventRecord {
	return eventRecord{utc(e.At), e.What, string(e.Device), uint64(e.Epoch), e.Detail}
}

func (r eventRecord) home() home.Event {
	return home.Event{
		At:     r.At,
		What:   r.What,
		Device: home.DeviceID(r.Device),
		Epoch:  home.Epoch(r.Epoch),
		Detail: r.Detail,
	}
}

// credentialRecord is sealed before it is written; its epoch is in its key.
type credentialRecord struct {
	Username    string `json:"Username,omitempty"`
	Password    string `json:"Password,omitempty"`
	EpochSecret []byte `json:"EpochSecret,omitempty"`
}

// sessionRecord is sealed before it is written.
type sessionRecord struct {
	URL     string `json:"URL"`
	Token   string `json:"Token"`
	Refresh string `json:"Refresh"`
}

// leftOutRecord is when an owner unbound a device, under the device's hardware key.
type leftOutRecord struct {
	At time.Time `json:"At"`
}
