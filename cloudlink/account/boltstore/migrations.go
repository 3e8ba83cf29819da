package boltstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// migrations only grow. testdata has a file of each format, and a test for it.
var migrations = []func(*bbolt.Tx) error{
	firstFormat,
	pendingRegistrations,
	mailByDueTime,
	membersNamedBySigningKey,
	devicesByAccount,
	recordsWithSums,
}

func firstFormat(tx *bbolt.Tx) error {
	return create(
		tx, "service", "accounts", "emails", "links", "sessions", "pairings", "members", "grants", "devices", "signins",
		"seqs", "mail", "history",
	)
}

func create(tx *bbolt.Tx, buckets ...string) error {
	var errs []error
	for _, b := range buckets {
		_, err := tx.CreateBucketIfNotExists([]byte(b))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// pendingRegistrations (format 2) turns accounts that were not activated into registrations.
func pendingRegistrations(tx *bbolt.Tx) error {
	if err := create(tx, "pending", "newest"); err != nil {
		return err
	}
	type accountOf1 struct {
		accountRecord
		Active bool   `json:"active"`
		Reset  []byte `json:"reset"` // key of its live link
	}
	all, err := boltfile.All[accountOf1](tx.Bucket(bktAccounts))
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.Active {
			continue
		}
		l, ok, err := boltfile.Get[linkRecord](tx.Bucket(bktLinks), a.Reset)
		if err == nil && ok {
			r := registrationRecord{
				Account: a.ID, Email: a.Email, Hash: a.Hash, Door: l.Door, Lang: a.Lang, At: a.At, Expires: l.Expires,
			}
			err = errors.Join(boltfile.Put(tx.Bucket(bktRegistrations), a.Reset, r),
				tx.Bucket(bktNewest).Put([]byte(account.Normal(a.Email)), a.Reset), tx.Bucket(bktLinks).Delete(a.Reset))
		}
		err = errors.Join(
			err, tx.Bucket(bktAccounts).Delete([]byte(a.ID)), tx.Bucket(bktEmails).Delete([]byte(account.Normal(a.Email))),
			boltfile.DeletePrefix(tx.Bucket(bktHistory), under(a.ID, nil)),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

// mailByDueTime (format 3) puts the due time before the number of each mail. Until then it was inside the sealed box,
// so all are due now.
func mailByDueTime(tx *bbolt.Tx) error {
	b := tx.Bucket(bktMail)
	boxes, err := pairsOf(b)
	for k, box := range boxes {
		err = errors.Join(err, b.Delete([]byte(k)), b.Put(append(boltfile.Key(0), k...), box))
	}
	return errors.Join(err, tx.Bucket(bktService).Put(mailsKey, boltfile.Key(uint64(len(boxes)))))
}

// membersNamedBySigningKey (format 4) deletes all members, whose names derived from two keys: they enrol again under
// new names. The devices stay with the account. Notices were objects; renewNotices signs each account's anew.
func membersNamedBySigningKey(tx *bbolt.Tx) error {
	var err error
	for _, b := range []string{"members", "grants", "seqs"} {
		err = errors.Join(err, boltfile.DeletePrefix(tx.Bucket([]byte(b)), nil))
	}
	return err
}

// renewNotices signs the notice of every account that has none of today's form. A damaged account stops no other.
func (s *Store) renewNotices() error {
	old, err := boltfile.View(s.file, func(tx *bbolt.Tx) (old []accountRecord, err error) {
		_, err = boltfile.EachSound(tx.Bucket(bktAccounts), nil, func(_ []byte, a accountRecord) error {
			if a.Notice == "" {
				old = append(old, a)
			}
			return nil
		})
		return old, err
	})
	if err != nil || len(old) == 0 {
		return err
	}
	id, err := s.Identity()
	if err != nil {
		return err
	}
	return s.file.Update(func(tx *bbolt.Tx) error {
		for _, a := range old {
			n := id.SignNotice(wire.Notice{Account: a.ID, Epoch: a.Epoch, At: a.At, Cause: "changed", Via: account.DoorWeb})
			a.Notice = notice(n.JWS())
			if err := boltfile.Put(tx.Bucket(bktAccounts), []byte(a.ID), a); err != nil {
				return err
			}
		}
		return nil
	})
}

// devicesByAccount (format 5) scopes devices by account, indexes members by account, keeps one epoch of a sign-in
// (that of its confirmation), and gives each account its own history and the list of its live links.
func devicesByAccount(tx *bbolt.Tx) error {
	if err := create(tx, "houses", "said", "natives"); err != nil {
		return err
	}
	devices, signIns := tx.Bucket(bktDevices), tx.Bucket(bktSignIns)
	ds, err := boltfile.All[deviceRecord](devices)
	if err != nil {
		return err
	}
	for _, d := range ds {
		key := under(d.Account, []byte(d.ID))
		if v := signIns.Get([]byte(d.ID)); len(v) == 16 { // of the session, of the confirmation
			confirmed := bytes.Clone(v[8:])
			err = errors.Join(err, signIns.Delete([]byte(d.ID)), signIns.Put(key, confirmed))
		}
		err = errors.Join(err, devices.Delete([]byte(d.ID)), boltfile.Put(devices, key, d))
		if isNative(d) {
			err = errors.Join(err, tx.Bucket(bktNatives).Put(under(d.ID, []byte(d.Account)), nil))
		}
	}
	err = errors.Join(err, boltfile.Each(tx.Bucket(bktMembers), nil, func(k []byte, m memberRecord) error {
		return tx.Bucket(bktHouses).Put(under(m.Account, k), nil)
	}))
	seqs, bad := pairsOf(tx.Bucket([]byte("seqs")))
	for member, v := range seqs {
		bad = errors.Join(bad, boltfile.Put(tx.Bucket(bktAnswered), []byte(member), answeredRecord{Seq: boltfile.Number(v)}))
	}
	return errors.Join(err, bad, tx.DeleteBucket([]byte("seqs")), linksOfAccounts(tx), historyByAccount(tx))
}

func linksOfAccounts(tx *bbolt.Tx) error {
	links := map[string][]string{}
	err := boltfile.Each(tx.Bucket(bktLinks), nil, func(k []byte, l linkRecord) error {
		links[l.Account] = append(links[l.Account], string(k))
		return nil
	})
	all, bad := boltfile.All[accountRecord](tx.Bucket(bktAccounts))
	err = errors.Join(err, bad)
	for _, a := range all {
		a.Links = links[a.ID]
		err = errors.Join(err, boltfile.Put(tx.Bucket(bktAccounts), []byte(a.ID), a))
	}
	return err
}

func historyByAccount(tx *bbolt.Tx) error {
	old := tx.Bucket(bktHistory)
	type line struct {
		account string
		event   json.RawMessage
	}
	var lines []line
	err := boltfile.Each(old, nil, func(k []byte, raw json.RawMessage) error {
		id, _, _ := strings.Cut(string(k), "/")
		lines = append(lines, line{id, bytes.Clone(raw)})
		return nil
	})
	err = errors.Join(err, tx.DeleteBucket(bktHistory), create(tx, "history"))
	for _, l := range lines {
		b, bad := tx.Bucket(bktHistory).CreateBucketIfNotExists([]byte(l.account))
		if err = errors.Join(err, bad); err != nil {
			return err
		}
		err = boltfile.Append(b, l.event, keepEvents)
	}
	return err
}

// pairsOf copies a bucket, so that it can be changed.
func pairsOf(b *bbolt.Bucket) (map[string][]byte, error) {
	all := map[string][]byte{}
	return all, b.ForEach(func(k, v []byte) error {
		all[string(k)] = bytes.Clone(v)
		return nil
	})
}

// recordsWithSums (format 6) gives each JSON record its checksum. Sealed records and indices have none.
func recordsWithSums(tx *bbolt.Tx) error {
	var errs []error
	for _, b := range [][]byte{
		bktAccounts, bktLinks, bktSessions, bktPairings, bktMembers, bktGrants, bktDevices, bktRegistrations, bktAnswered,
		bktHistory,
	} {
		errs = append(errs, boltfile.SumRecords(tx.Bucket(b)))
	}
	return errors.Join(errs...)
}
