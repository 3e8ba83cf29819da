package localstore

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

var bootName, terminalName = []byte("boot"), []byte("terminal")

// HubKeys returns the hub's seeds, which were made with the store.
func (s *Store) HubKeys() (home.HubKeys, error) { return boltfile.View(s.file, s.hubKeys) }

func (s *Store) hubKeys(tx *bbolt.Tx) (home.HubKeys, error) {
	plain, err := s.key.Open(bytes.Clone(tx.Bucket(bHub).Get(keysName)), "hub/keys")
	if err != nil {
		return home.HubKeys{}, err
	}
	var seeds [2][]byte
	if err := json.Unmarshal(plain, &seeds); err != nil {
		return home.HubKeys{}, fmt.Errorf("hub keys: %w", home.ErrCorrupt)
	}
	return home.HubKeys{Sign: home.SecretBytes(seeds[0]), Seal: home.SecretBytes(seeds[1])}, nil
}

// NextBoot counts this start of the hub, and returns its number.
func (s *Store) NextBoot() (uint64, error) {
	return boltfile.Update(s.file, func(tx *bbolt.Tx) (uint64, error) {
		n, _, err := boltfile.Get[uint64](tx.Bucket(bHub), bootName)
		if err != nil {
			return 0, err
		}
		return n + 1, boltfile.Put(tx.Bucket(bHub), bootName, n+1)
	})
}

// Terminal returns the random name under which this hub signs in to account services, always the same: their limits are
// kept by it.
func (s *Store) Terminal() (string, error) {
	return boltfile.Update(s.file, func(tx *bbolt.Tx) (string, error) {
		name, ok, err := boltfile.Get[string](tx.Bucket(bHub), terminalName)
		if ok || err != nil {
			return name, err
		}
		name = rand.Text()
		return name, boltfile.Put(tx.Bucket(bHub), terminalName, name)
	})
}

func random32() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return b
}
