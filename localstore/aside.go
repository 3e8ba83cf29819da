package localstore

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// asideRecord keeps damaged records as they were found, with those that are useless without them. Sealed ones stay
// sealed.
type asideRecord struct {
	Record  string            `json:"record"`
	Device  string            `json:"device,omitempty"`
	Name    string            `json:"name,omitempty"`
	Epoch   uint64            `json:"epoch,omitempty"`
	At      time.Time         `json:"at"`
	Records map[string][]byte `json:"records"` // by bucket and key
}

func (r asideRecord) home() home.Damage {
	return home.Damage{
		Record: r.Record, Device: home.DeviceID(r.Device), Name: r.Name, Epoch: home.Epoch(r.Epoch), At: r.At,
	}
}

// Damaged returns the damaged records that were set aside, and not replaced since.
func (s *Store) Damaged() ([]home.Damage, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (all []home.Damage, err error) {
		b := tx.Bucket(bAside)
		if b == nil {
			return nil, nil // an older format, opened for reading
		}
		err = boltfile.Each(b, nil, func(_ []byte, r asideRecord) error { all = append(all, r.home()); return nil })
		return all, err
	})
}

// setAside looks for damaged records and sets them aside, in one transaction, so that all the others can be used. A
// store whose account or keys are damaged is home.ErrCorrupt.
func (s *Store) setAside(path string) error {
	found, err := boltfile.View(s.file, s.damage)
	if err != nil {
		return boltfile.Damaged(path, err)
	}
	if len(found) == 0 {
		return nil
	}
	err = s.file.Update(func(tx *bbolt.Tx) error {
		var errs []error
		for _, d := range found {
			errs = append(errs, d.setAside(tx))
		}
		return errors.Join(append(errs, requeue(tx, found))...)
	})
	if err != nil {
		return err
	}
	for _, d := range found {
		s.log.Warn("damaged record set aside", "record", d.Record, "device", d.Device, "epoch", d.Epoch)
	}
	return nil
}

// damaged is a record that cannot be used, and where it is.
type damaged struct {
	home.Damage
	bucket, key string
	count       uint64 // what the bucket's own counter must be, where that is the damage
}

// setAside moves a damaged record to the bucket aside, and puts in its place what the store can go on with.
func (d damaged) setAside(tx *bbolt.Tx) error {
	r := asideRecord{d.Record, string(d.Device), d.Name, uint64(d.Epoch), d.At, map[string][]byte{}}
	keep := func(bucket string, b *bbolt.Bucket, key []byte) error {
		if raw := b.Get(key); raw != nil {
			r.Records[bucket+"/"+string(key)] = bytes.Clone(raw)
		}
		return b.Delete(key)
	}
	var err error
	if d.Record == home.DamagedDevice {
		id := []byte(d.Device)
		err = errors.Join(keep("bindings", bindings.bucket(tx), id), keep("devices", devices.bucket(tx), id),
			keep("intents", intents.bucket(tx), id), keep("vault", tx.Bucket(bVault), bindKey(d.Device)),
			keep("vault", tx.Bucket(bVault), signInsKey(d.Device)), forget(tx, d.Device))
	} else {
		err = errors.Join(keep(d.bucket, bucketAt(tx, d.bucket), []byte(d.key)), d.replace(tx))
	}
	return errors.Join(err, boltfile.Put(tx.Bucket(bAside), asideKey(d.Record, d.bucket+"/"+d.key), r),
		record(tx, home.Event{
			At: d.At, What: "damaged record set aside", Device: d.Device, Epoch: d.Epoch, Detail: d.Record,
		}))
}

// replace puts a safe value in the place of a record that the store can go on without.
func (d damaged) replace(tx *bbolt.Tx) error {
	switch {
	case d.count != 0:
		return bucketAt(tx, d.bucket).SetSequence(d.count)
	case d.Record == home.DamagedBudget: // as if the device had just been sent all that it may be sent
		spent := make([]time.Time, budgetHour)
		for i := range spent {
			spent[i] = d.At
		}
		return boltfile.Put(tx.Bucket(bBudget), []byte(d.key), budgetRecord{Spent: spent})
	case d.Record == home.DamagedLeftOut:
		return boltfile.Put(tx.Bucket(bLeftOut), []byte(d.key), leftOutRecord{d.At})
	case d.Record == home.DamagedHub && d.key == "boot": // larger than any number of starts, so never one that was used
		return boltfile.Put(tx.Bucket(bHub), bootName, uint64(d.At.Unix()))
	}
	return nil
}

func asideKey(record, at string) []byte { return []byte(record + "/" + at) }

// forgetDamage deletes the damaged records of this kind. Where id is not empty, only those of the device.
func forgetDamage(tx *bbolt.Tx, kind string, id home.DeviceID) error {
	b := tx.Bucket(bAside)
	var keys [][]byte
	err := boltfile.Each(b, []byte(kind+"/"), func(k []byte, r asideRecord) error {
		if id == "" || r.Device == string(id) {
			keys = append(keys, bytes.Clone(k))
		}
		return nil
	})
	for _, k := range keys {
		err = errors.Join(err, b.Delete(k))
	}
	return err
}

// hasDamage reports whether a record of this kind was set aside and not replaced since.
func hasDamage(tx *bbolt.Tx, kind string) bool {
	k, _ := tx.Bucket(bAside).Cursor().Seek([]byte(kind + "/"))
	return bytes.HasPrefix(k, []byte(kind+"/"))
}

// requeue queues again the errands that are lost with damaged records of the outbox, and which follow from the
// bindings. An errand that unbinds a device is known from its name in the index.
func requeue(tx *bbolt.Tx, found []damaged) error {
	lost := false
	for _, d := range found {
		lost = lost || d.Record == home.DamagedErrand
	}
	a, err := account(tx)
	if !lost || errors.Is(err, home.ErrNoAccount) {
		return nil
	}
	var unbound []string
	err = errors.Join(err, outboxIndex(tx).ForEach(func(k, n []byte) error {
		kind, id, _ := strings.Cut(string(k), "/")
		if kind == string(home.ErrandUnbind) && queue.bucket(tx).Get(n) == nil {
			unbound = append(unbound, id)
		}
		return nil
	}), reindex(tx))
	for _, id := range unbound {
		err = errors.Join(err, announce(tx, home.Errand{Kind: home.ErrandUnbind, Device: home.DeviceID(id), At: now()}))
	}
	if a.Epoch != 0 {
		err = errors.Join(err, announce(tx, home.Errand{Kind: home.ErrandAck, Epoch: a.Epoch, At: now()}))
	}
	return errors.Join(err, announceAgain(tx, a))
}

// reindex makes the index of the outbox anew. Of two errands of one kind and device the older one is deleted.
func reindex(tx *bbolt.Tx) error {
	err := boltfile.DeletePrefix(outboxIndex(tx), nil)
	var old [][]byte
	err = errors.Join(err, boltfile.Each(queue.bucket(tx), nil, func(n []byte, r errandRecord) error {
		key := errandKey(home.ErrandKind(r.Kind), home.DeviceID(r.Device))
		if before := outboxIndex(tx).Get(key); before != nil {
			old = append(old, bytes.Clone(before))
		}
		return outboxIndex(tx).Put(key, bytes.Clone(n))
	}))
	for _, n := range old {
		err = errors.Join(err, queue.bucket(tx).Delete(n))
	}
	return err
}

// bucketAt returns the bucket of a path like outbox/queue.
func bucketAt(tx *bbolt.Tx, path string) *bbolt.Bucket {
	name, sub, nested := strings.Cut(path, "/")
	b := tx.Bucket([]byte(name))
	if nested {
		return b.Bucket([]byte(sub))
	}
	return b
}

var errKeys = fmt.Errorf("the hub's keys are damaged: %w", home.ErrCorrupt)
