package boltstore

import (
	"bytes"
	"fmt"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// Damaged returns the damaged records of the store, each by its bucket and key: those whose checksum does not fit,
// mails that cannot be opened, and entries of an index that fit no record. All other records are served.
func (s *Store) Damaged() ([]string, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) ([]string, error) {
		d := &damage{tx: tx}
		for _, bucket := range [][]byte{
			bktAccounts, bktLinks, bktRegistrations, bktSessions, bktPairings, bktMembers, bktGrants, bktAnswered, bktDevices,
			bktHistory,
		} {
			d.sums(string(bucket), tx.Bucket(bucket))
		}
		d.each(bktMail, func(k, box []byte) bool {
			_, err := s.key.Open(bytes.Clone(box), mailPlace(boltfile.Number(k[len(k)-8:])))
			return len(k) == 16 && err == nil
		})
		d.indexes()
		return d.found, nil
	})
}

// damage collects damaged records.
type damage struct {
	tx    *bbolt.Tx
	found []string
}

func (d *damage) add(bucket string, key []byte) {
	d.found = append(d.found, fmt.Sprintf("%s %q", bucket, key))
}

// each adds the keys of a bucket for which ok is false.
func (d *damage) each(bucket []byte, ok func(k, v []byte) bool) {
	_ = d.tx.Bucket(bucket).ForEach(func(k, v []byte) error { // never fails: the function returns no error
		if !ok(k, v) {
			d.add(string(bucket), k)
		}
		return nil
	})
}

// sums adds the records without a fitting checksum, of the buckets in b too.
func (d *damage) sums(name string, b *bbolt.Bucket) {
	_ = b.ForEach(func(k, v []byte) error { // likewise
		switch inner := b.Bucket(k); {
		case inner != nil:
			d.sums(name, inner)
		case !boltfile.Sound(k, v):
			d.add(name, k)
		}
		return nil
	})
}

// indexes compares the indexes with the records that they lead to.
func (d *damage) indexes() {
	accounts, members, devices := d.tx.Bucket(bktAccounts), d.tx.Bucket(bktMembers), d.tx.Bucket(bktDevices)
	emails, houses, natives := d.tx.Bucket(bktEmails), d.tx.Bucket(bktHouses), d.tx.Bucket(bktNatives)
	d.each(bktEmails, func(_, id []byte) bool { return accounts.Get(id) != nil })
	d.each(bktHouses, func(k, _ []byte) bool {
		_, member, _ := strings.Cut(string(k), "/")
		return members.Get([]byte(member)) != nil
	})
	d.each(bktNatives, func(k, _ []byte) bool {
		device, id, _ := strings.Cut(string(k), "/")
		return devices.Get(under(id, []byte(device))) != nil
	})
	_, _ = boltfile.EachSound(accounts, nil, func(k []byte, a accountRecord) error {
		if !bytes.Equal(emails.Get([]byte(account.Normal(a.Email))), k) {
			d.add("emails", k)
		}
		return nil
	})
	_, _ = boltfile.EachSound(members, nil, func(k []byte, m memberRecord) error {
		if v := houses.Get(under(m.Account, k)); v == nil {
			d.add("houses", k)
		}
		return nil
	})
	_, _ = boltfile.EachSound(devices, nil, func(k []byte, r deviceRecord) error {
		if isNative(r) && natives.Get(under(r.ID, []byte(r.Account))) == nil {
			d.add("natives", k)
		}
		return nil
	})
}
