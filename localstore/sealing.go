package localstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// keepSealing is the number of sealing keys that are kept: the one that the account service uses, and the one that is
// announced.
const keepSealing = 2

var sealingName = []byte("sealing")

// sealingRecord is one sealing key inside the sealed list under "sealing" in the bucket "hub", newest first.
type sealingRecord struct {
	Seed  []byte    `json:"seed"`
	Made  time.Time `json:"made"`
	Epoch uint64    `json:"epoch"`
}

// SealingKeys returns the hub's sealing keys, newest first. Before the first is added it is the one of HubKeys, of
// the zero time.
func (s *Store) SealingKeys() ([]home.SealingKey, error) {
	return boltfile.View(s.file, s.sealingKeys)
}

// sealingKeys opens the list of sealing keys, the newest first.
func (s *Store) sealingKeys(tx *bbolt.Tx) ([]home.SealingKey, error) {
	box := bytes.Clone(tx.Bucket(bHub).Get(sealingName))
	if box == nil {
		keys, err := s.hubKeys(tx)
		return []home.SealingKey{{Seed: keys.Seal}}, err
	}
	plain, err := s.key.Open(box, "hub/sealing")
	if err != nil {
		return nil, err
	}
	var rs []sealingRecord
	if err := json.Unmarshal(plain, &rs); err != nil {
		return nil, fmt.Errorf("sealing keys: %w", home.ErrCorrupt)
	}
	keys := make([]home.SealingKey, len(rs))
	for i, r := range rs {
		keys[i] = home.SealingKey{Seed: home.SecretBytes(r.Seed), Made: r.Made, Epoch: home.Epoch(r.Epoch)}
	}
	return keys, nil
}

// AddSealingKey puts a key first, and keeps the one that was first before.
func (s *Store) AddSealingKey(k home.SealingKey) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		keys, err := s.sealingKeys(tx)
		if err != nil {
			return err
		}
		keys = slices.Insert(keys, 0, k)
		return s.putSealingKeys(tx, keys[:min(len(keys), keepSealing)])
	})
}

// KeepSealingKey deletes all sealing keys but the one with this seed. An unknown seed is home.ErrNotFound, and
// deletes nothing.
func (s *Store) KeepSealingKey(seed home.Secret) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		keys, err := s.sealingKeys(tx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(keys, func(k home.SealingKey) bool { return k.Seed.Equal(seed) })
		if i < 0 {
			return fmt.Errorf("sealing key: %w", home.ErrNotFound)
		}
		return s.putSealingKeys(tx, keys[i:i+1])
	})
}

// putSealingKeys replaces the list of sealing keys, sealed.
func (s *Store) putSealingKeys(tx *bbolt.Tx, keys []home.SealingKey) error {
	rs := make([]sealingRecord, len(keys))
	for i, k := range keys {
		rs[i] = sealingRecord{[]byte(k.Seed.Reveal()), k.Made, uint64(k.Epoch)}
	}
	plain, err := json.Marshal(rs)
	return errors.Join(err, tx.Bucket(bHub).Put(sealingName, s.key.Seal(plain, "hub/sealing")))
}
