package account

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
	"github.com/rekeyd/rekeyd/localstore/seal"
)

// The file, account.db. Keys that end in a number end in 8 bytes, big-endian, so that they stand in order.
var (
	bktService  = []byte("service")  // "seeds": sealed, the service's two key seeds
	bktAccounts = []byte("accounts") // account -> account
	bktEmails   = []byte("emails")   // normalised e-mail address -> account
	bktLinks    = []byte("links")    // hash of a mailed token -> link
	bktPending  = []byte("pending")  // hash of a mailed token -> registration
	bktNewest   = []byte("newest")   // normalised e-mail address -> the key in pending of its newest registration
	bktSessions = []byte("sessions") // account / hash of a token -> session
	bktPairings = []byte("pairings") // pairing -> offer
	bktMembers  = []byte("members")  // member -> member
	bktGrants   = []byte("grants")   // member / epoch -> wire.Grant, sealed to the member
	bktDevices  = []byte("devices")  // device -> device, its binding secret sealed
	bktSignIns  = []byte("signins")  // device -> epochs of its session and of its confirmation
	bktSeqs     = []byte("seqs")     // member -> the highest sequence number that was taken, as of the last durable change
	bktMail     = []byte("mail")     // due / number -> sealed, a mail that waits; due in Unix milliseconds
	bktHistory  = []byte("history")  // account / number -> Event
)

// migrations only grow.
var migrations = []func(*bbolt.Tx) error{
	func(tx *bbolt.Tx) error {
		for _, b := range [][]byte{
			bktService, bktAccounts, bktEmails, bktLinks, bktSessions, bktPairings, bktMembers, bktGrants, bktDevices, bktSignIns, bktSeqs, bktMail, bktHistory,
		} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	},
	pendingRegistrations,
	mailByDueTime,
	membersNamedBySigningKey,
}

// pendingRegistrations turns accounts that nobody has activated into registrations.
func pendingRegistrations(tx *bbolt.Tx) error {
	for _, b := range [][]byte{bktPending, bktNewest} {
		if _, err := tx.CreateBucketIfNotExists(b); err != nil {
			return err
		}
	}
	type inactive struct {
		account
		Active bool   `json:"active"`
		Reset  []byte `json:"reset"`
	}
	var all []*inactive
	err := each(tx, bktAccounts, func(a *inactive) error {
		if !a.Active {
			all = append(all, a)
		}
		return nil
	})
	for _, a := range all {
		l, ok, bad := get[link](tx, bktLinks, a.Reset)
		err = errors.Join(err, bad)
		if ok {
			r := registration{Account: a.ID, Email: a.Email, Hash: a.Hash, Door: l.Door, Lang: a.Lang, At: a.At, Expires: l.Expires}
			err = errors.Join(err, r.store(tx, a.Reset), tx.Bucket(bktLinks).Delete(a.Reset))
		}
		err = errors.Join(err, tx.Bucket(bktAccounts).Delete([]byte(a.ID)), tx.Bucket(bktEmails).Delete([]byte(normal(a.Email))),
			drop(tx, bktHistory, a.ID+"/"))
	}
	return err
}

// mailByDueTime puts the due time before the number of each mail. Until now it was inside the sealed box, so all are due at once.
func mailByDueTime(tx *bbolt.Tx) error {
	b := tx.Bucket(bktMail)
	boxes := map[string][]byte{}
	err := b.ForEach(func(k, v []byte) error {
		boxes[string(k)] = bytes.Clone(v)
		return nil
	})
	for k, box := range boxes {
		err = errors.Join(err, b.Delete([]byte(k)), b.Put(mailKey(time.Time{}, beOf([]byte(k))), box))
	}
	return errors.Join(err, tx.Bucket(bktService).Put(waitingKey, be(uint64(len(boxes)))))
}

// membersNamedBySigningKey deletes all members, whose names derived from two keys: they enrol again under new names. What their
// hubs held stays with the account. Notices were objects; load signs each account's anew.
func membersNamedBySigningKey(tx *bbolt.Tx) error {
	var err error
	for _, b := range [][]byte{bktMembers, bktGrants, bktSeqs} {
		err = errors.Join(err, drop(tx, b, ""))
	}
	return err
}

// newest is the newest notice as it is on disk: the text of its JWS. The object of an older format reads as no notice.
type newest struct{ wire.Notice }

// UnmarshalJSON reads a notice.
func (n *newest) UnmarshalJSON(raw []byte) error {
	if raw[0] == '{' {
		return nil
	}
	return json.Unmarshal(raw, &n.Notice)
}

// account is one account, as it is on disk and, unchanged once it is there, in memory.
type account struct {
	ID     string `json:"id"`
	Email  string `json:"email"` // as registered: devices hash it as it was typed
	Hash   []byte `json:"hash"`  // sealed; of the password, in PHC form
	Epoch  uint64 `json:"epoch"`
	Notice newest `json:"notice"`           // the newest
	Secret []byte `json:"secret"`           // sealed; of the epoch
	Reset  []byte `json:"reset,omitempty"`  // key of the live reset link, in links
	At     int64  `json:"at"`               // registered, Unix milliseconds
	Lang   string `json:"lang,omitempty"`   // of its mails, a tag of package language
	Closed bool   `json:"closed,omitempty"` // its password opens nothing: its owner disowned the change that set it
}

// registration is an account that nobody has activated yet. An address may have several: each link activates its own.
type registration struct {
	Account string `json:"account"` // that it becomes
	Email   string `json:"email"`
	Hash    []byte `json:"hash"` // sealed; of the password, in PHC form
	Door    string `json:"door"`
	Lang    string `json:"lang,omitempty"`
	At      int64  `json:"at"`      // registered, Unix milliseconds
	Expires int64  `json:"expires"` // of its link
}

// store stores the registration under the key of its token.
func (r registration) store(tx *bbolt.Tx, key []byte) error {
	return errors.Join(put(tx, bktPending, key, r), tx.Bucket(bktNewest).Put([]byte(normal(r.Email)), key))
}

// link is a token that was sent by mail. Only its hash is kept.
type link struct {
	Purpose string `json:"purpose"` // "reset" or "notme"
	Account string `json:"account"`
	Epoch   uint64 `json:"epoch"`
	Door    string `json:"door"`
	At      int64  `json:"at,omitempty"` // of the change, where a link disowns one; Unix milliseconds, as Expires
	Expires int64  `json:"expires"`
}

// session is a token of a signed-in owner, or a refresh token.
type session struct {
	Refresh  bool   `json:"refresh,omitempty"`
	Entry    string `json:"entry"` // of the sign-in: its token, its refresh token, and whatever that renews
	Door     string `json:"door"`
	Terminal string `json:"terminal,omitempty"`
	Expires  int64  `json:"expires"`
	At       int64  `json:"at"`
}

// offer is a pairing that was made for an owner.
type offer struct {
	Account string `json:"account"`
	Secret  []byte `json:"secret"` // sealed
	Expires int64  `json:"expires"`

	// The account's password, sealed, where its owner gave it for the hub to have, and the epoch whose it is.
	Password []byte `json:"password,omitempty"`
	Epoch    uint64 `json:"epoch,omitempty"`

	Used string `json:"used,omitempty"` // by this hub: it may ask again, if the answer was lost
}

// member is a hub or a device that speaks the link.
type member struct {
	Name    string    `json:"name"`
	Account string    `json:"account"`
	Keys    wire.Keys `json:"keys"`
	Label   string    `json:"label"` // for people
	Version string    `json:"version"`
	At      int64     `json:"at"`
	Acked   uint64    `json:"acked"` // the newest epoch whose grant is on its disk
}

// device is a device that was bound.
type device struct {
	wire.Device
	Account string `json:"account"`
	Holder  string `json:"holder"`
	Secret  []byte `json:"secret,omitempty"` // sealed; of a device that speaks the link, once it has enrolled
}

// Event is a line of an account's history.
type Event struct {
	At     int64  `json:"at"` // Unix milliseconds
	What   string `json:"what"`
	Door   string `json:"door,omitempty"`
	Epoch  uint64 `json:"epoch,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// keepEvents is how long an account's history is.
const keepEvents = 500

// store is the file and the key that seals what is secret in it.
type store struct {
	*boltfile.File
	key seal.Key
}

// openStore opens account.db in dir, and makes it at the first start, sealed with the passphrase where one is given.
func openStore(dir string, passphrase home.Secret) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &home.Error{Op: "open the account service's state", Err: err, Hint: "see that this user may write to " + dir}
	}
	path := filepath.Join(dir, "account.db")
	f, err := boltfile.Open(path, boltfile.Options{Migrations: migrations})
	if err != nil {
		return nil, err
	}
	fresh := true
	err = f.View(func(tx *bbolt.Tx) error {
		fresh = tx.Bucket(bktService).Get([]byte("seeds")) == nil
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	key, err := seal.Source{File: filepath.Join(dir, "account.key"), Passphrase: passphrase}.Load(fresh)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &store{f, key}, nil
}

// identity returns the service's own keys, made at the first start.
func (st *store) identity() (*wire.Identity, error) {
	var box []byte
	err := st.View(func(tx *bbolt.Tx) error {
		box = append(box, tx.Bucket(bktService).Get([]byte("seeds"))...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the service's keys: %w", err)
	}
	var seeds []byte
	if len(box) == 0 {
		seeds = append(wire.NewSeed(), wire.NewSeed()...)
		err = st.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket(bktService).Put([]byte("seeds"), st.key.Seal(seeds, "service/seeds"))
		})
	} else {
		seeds, err = st.key.Open(box, "service/seeds")
	}
	if err != nil {
		return nil, &home.Error{Op: "open the account service's keys", Err: err, Hint: "put account.key back from the backup in which account.db is"}
	}
	if len(seeds) != 64 {
		return nil, &home.Error{Op: "open the account service's keys", Err: home.ErrCorrupt, Hint: "put account.db back from a backup"}
	}
	return wire.NewIdentity(wire.RoleService, seeds[:32], seeds[32:])
}

func be(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func beOf(key []byte) uint64 { return binary.BigEndian.Uint64(key) }

func numbered(name string, n uint64) []byte { return append([]byte(name+"/"), be(n)...) }

// put writes v as JSON.
func put(tx *bbolt.Tx, bucket, key []byte, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Bucket(bucket).Put(key, raw)
}

// get reads what put wrote; ok is false where there is nothing.
func get[T any](tx *bbolt.Tx, bucket, key []byte) (v T, ok bool, err error) {
	raw := tx.Bucket(bucket).Get(key)
	if raw == nil {
		return v, false, nil
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, false, fmt.Errorf("%s: %w", bucket, home.ErrCorrupt)
	}
	return v, true, nil
}

// drop deletes every key that begins with prefix.
func drop(tx *bbolt.Tx, bucket []byte, prefix string) error {
	var keys [][]byte
	c := tx.Bucket(bucket).Cursor()
	for k, _ := c.Seek([]byte(prefix)); k != nil && len(k) >= len(prefix) && string(k[:len(prefix)]) == prefix; k, _ = c.Next() {
		keys = append(keys, append([]byte(nil), k...))
	}
	for _, k := range keys {
		if err := tx.Bucket(bucket).Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// record writes a line of history, and drops the oldest past the limit.
func record(tx *bbolt.Tx, account string, e Event) error {
	b := tx.Bucket(bktHistory)
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	if err := put(tx, bktHistory, numbered(account, n), e); err != nil {
		return err
	}
	prefix := account + "/"
	c := b.Cursor()
	lines := 0
	var oldest []byte
	for k, _ := c.Seek([]byte(prefix)); k != nil && len(k) > len(prefix) && string(k[:len(prefix)]) == prefix; k, _ = c.Next() {
		if lines++; oldest == nil {
			oldest = append([]byte(nil), k...)
		}
	}
	if lines > keepEvents {
		return b.Delete(oldest)
	}
	return nil
}

func (s *Service) now() time.Time { return s.o.Now().UTC().Round(0) }
