package localstore

import (
	"errors"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// damage reads every record and returns those that cannot be used. An error means that the store cannot be used
// without them.
func (s *Store) damage(tx *bbolt.Tx) ([]damaged, error) {
	bound, _ := bindings.bucket(tx).Cursor().First()
	if _, err := account(tx); err != nil && (!errors.Is(err, home.ErrNoAccount) || bound != nil) {
		return nil, err
	}
	if _, err := s.hubKeys(tx); err != nil {
		return nil, errKeys
	}
	f := finder{store: s, tx: tx, at: now(), devices: map[home.DeviceID]bool{}}
	f.house()
	f.vault()
	f.hub()
	f.rest()
	return f.found, nil
}

// finder collects damaged records.
type finder struct {
	store   *Store
	tx      *bbolt.Tx
	at      time.Time
	devices map[home.DeviceID]bool // found damaged
	found   []damaged
}

func (f *finder) add(record, bucket, key string, id home.DeviceID) {
	f.found = append(f.found, damaged{
		Damage: home.Damage{Record: record, Device: id, Name: f.name(id), At: f.at}, bucket: bucket, key: key,
	})
}

// device adds a device with all of its records, once.
func (f *finder) device(id string) {
	if !f.devices[home.DeviceID(id)] {
		f.devices[home.DeviceID(id)] = true
		f.add(home.DamagedDevice, "bindings", id, home.DeviceID(id))
	}
}

// name returns the name of a device as far as its record can be read.
func (f *finder) name(id home.DeviceID) string {
	if d, ok, err := devices.get(f.tx, string(id)); err == nil && ok && d.Name != "" {
		return d.Name
	}
	return string(id)
}

// broken returns the keys of the records that cannot be read, or are not valid.
func broken[R any](b *bbolt.Bucket, valid func(key string, r R) bool) (keys []string) {
	_ = b.ForEach(func(k, raw []byte) error {
		r, err := boltfile.Decode[R](k, raw)
		if err != nil || !valid(string(k), r) {
			keys = append(keys, string(k))
		}
		return nil
	})
	return keys
}

// house finds the damaged devices: a binding has a device and a secret, and a device or an intent has a binding.
func (f *finder) house() {
	tx := f.tx
	for _, id := range broken(bindings.bucket(tx), func(id string, r bindingRecord) bool {
		return r.Device == id && devices.has(tx, id) && tx.Bucket(bVault).Get(bindKey(home.DeviceID(id))) != nil
	}) {
		f.device(id)
	}
	for _, id := range broken(devices.bucket(tx), func(id string, r deviceRecord) bool {
		return r.ID == id && bindings.has(tx, id)
	}) {
		f.device(id)
	}
	for _, id := range broken(intents.bucket(tx), func(id string, r intentRecord) bool {
		return r.Device == id && bindings.has(tx, id) && slices.Contains(r.Holds, r.To) && slices.IsSorted(r.Holds)
	}) {
		if !f.devices[home.DeviceID(id)] {
			f.add(home.DamagedIntent, "intents", id, home.DeviceID(id))
		}
	}
}

// vault finds the sealed records that do not open under their names.
func (f *finder) vault() {
	_ = f.tx.Bucket(bVault).ForEach(func(k, box []byte) error {
		if _, err := f.store.key.Open(box, "vault/"+string(k)); err == nil || string(k) == string(checkName) {
			return nil
		}
		kind, rest, _ := strings.Cut(string(k), "/")
		switch kind {
		case "bind":
			if bindings.has(f.tx, rest) {
				f.device(rest)
				return nil
			}
			f.add(home.DamagedDevice, "vault", string(k), home.DeviceID(rest))
		case "signins":
			f.add(home.DamagedSignIns, "vault", string(k), home.DeviceID(rest))
		case "session":
			f.add(home.DamagedSession, "vault", string(k), "")
		default:
			f.add(home.DamagedPassword, "vault", string(k), "")
			if kind == "cred" && len(k) > 8 {
				f.found[len(f.found)-1].Epoch = home.Epoch(boltfile.Number(k[len(k)-8:]))
			}
		}
		return nil
	})
}

// hub finds damaged counters of the hub.
func (f *finder) hub() {
	b := f.tx.Bucket(bHub)
	if _, _, err := boltfile.Get[uint64](b, bootName); err != nil {
		f.add(home.DamagedHub, "hub", string(bootName), "")
	}
	if _, _, err := boltfile.Get[string](b, terminalName); err != nil {
		f.add(home.DamagedHub, "hub", string(terminalName), "")
	}
	if box := b.Get(sealingName); box != nil {
		if _, err := f.store.sealingKeys(f.tx); err != nil {
			f.add(home.DamagedHub, "hub", string(sealingName), "")
		}
	}
}

// rest finds the damaged records that only concern themselves.
func (f *finder) rest() {
	lost := broken(queue.bucket(f.tx), func(string, errandRecord) bool { return true })
	for _, k := range lost {
		f.add(home.DamagedErrand, "outbox/queue", k, "")
	}
	if len(lost) == 0 && checkOutbox(f.tx) != nil {
		f.add(home.DamagedErrand, "outbox/index", "", "")
	}
	for _, k := range broken(f.tx.Bucket(bBudget), func(string, budgetRecord) bool { return true }) {
		f.add(home.DamagedBudget, "budget", k, home.DeviceID(k))
	}
	for _, k := range broken(f.tx.Bucket(bLeftOut), func(string, leftOutRecord) bool { return true }) {
		f.add(home.DamagedLeftOut, "leftout", k, "")
	}
	for _, k := range broken(f.tx.Bucket(bHistory), func(string, eventRecord) bool { return true }) {
		f.add(home.DamagedEvent, "history", k, "")
	}
	f.counters()
	for _, k := range broken(f.tx.Bucket(bAside), func(string, asideRecord) bool { return true }) {
		f.add(home.DamagedEvent, "aside", k, "")
	}
}

// counters finds the buckets whose count of records would lead to a key that is used.
func (f *finder) counters() {
	last := func(b *bbolt.Bucket) uint64 {
		k, _ := b.Cursor().Last()
		return boltfile.Number(k)
	}
	history, remembered := f.tx.Bucket(bHistory), uint64(0)
	_ = f.tx.Bucket(bVault).ForEach(func(k, _ []byte) error {
		if strings.HasPrefix(string(k), "old/") && len(k) > 12 {
			remembered = max(remembered, boltfile.Number(k[len(k)-8:]))
		}
		return nil
	})
	if n := last(history); n != 0 && n != history.Sequence() {
		f.counter("history", n)
	}
	if n := last(queue.bucket(f.tx)); n > queue.bucket(f.tx).Sequence() {
		f.counter("outbox/queue", n)
	}
	if remembered > f.tx.Bucket(bVault).Sequence() {
		f.counter("vault", remembered)
	}
}

func (f *finder) counter(bucket string, n uint64) {
	f.add(home.DamagedHub, bucket, "", "")
	f.found[len(f.found)-1].count = n
}
