package localstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

func signInsKey(id home.DeviceID) []byte { return []byte("signins/" + string(id)) }

// signInsRecord is a home.SignIns inside its seal: credentials in it are as good as passwords.
type signInsRecord struct {
	Verifier    string          `json:"verifier"`
	Owner       string          `json:"owner,omitempty"`
	Accepted    string          `json:"accepted,omitempty"`
	Refused     []refusalRecord `json:"refused,omitempty"`
	LastRefused time.Time       `json:"last_refused,omitzero"`
	Left        *int            `json:"left,omitempty"`
}

type refusalRecord struct {
	Credential string    `json:"credential"`
	At         time.Time `json:"at"`
}

// SignIns returns the record of the sign-ins to a device, the zero value where there is none.
func (s *Store) SignIns(id home.DeviceID) (home.SignIns, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (home.SignIns, error) { return s.signIns(tx, id) })
}

// signIns opens the record of a device. A box under another key than its own does not open.
func (s *Store) signIns(tx *bbolt.Tx, id home.DeviceID) (home.SignIns, error) {
	key := signInsKey(id)
	box := bytes.Clone(tx.Bucket(bVault).Get(key))
	if box == nil {
		return home.SignIns{}, nil
	}
	plain, err := s.key.Open(box, "vault/"+string(key))
	if err != nil {
		return home.SignIns{}, err
	}
	var r signInsRecord
	if err := json.Unmarshal(plain, &r); err != nil {
		return home.SignIns{}, fmt.Errorf("sign-ins of %s: %w", id, home.ErrCorrupt)
	}
	kept := home.SignIns{
		Verifier: r.Verifier, Owner: r.Owner, Accepted: home.NewSecret(r.Accepted), LastRefused: r.LastRefused, Left: r.Left,
	}
	for _, one := range r.Refused {
		kept.Refused = append(kept.Refused, home.Refusal{Credential: home.NewSecret(one.Credential), At: one.At})
	}
	return kept, nil
}

// SaveSignIns writes the record of the sign-ins to a bound device. A device that is not bound has no record.
func (s *Store) SaveSignIns(id home.DeviceID, kept home.SignIns) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		if !bindings.has(tx, string(id)) {
			return nil
		}
		return s.putSignIns(tx, id, kept)
	})
}

// putSignIns writes the record of a device, sealed: it contains credentials that were refused.
func (s *Store) putSignIns(tx *bbolt.Tx, id home.DeviceID, kept home.SignIns) error {
	r := signInsRecord{
		Verifier: kept.Verifier, Owner: kept.Owner, Accepted: kept.Accepted.Reveal(), LastRefused: kept.LastRefused,
		Left: kept.Left,
	}
	for _, one := range kept.Refused {
		r.Refused = append(r.Refused, refusalRecord{one.Credential.Reveal(), one.At})
	}
	plain, err := json.Marshal(r)
	if err != nil {
		return err
	}
	key := signInsKey(id)
	return tx.Bucket(bVault).Put(key, s.key.Seal(plain, "vault/"+string(key)))
}

// retrySignIns has a device take credentials again that it refused, at its owner's wish.
func (s *Store) retrySignIns(tx *bbolt.Tx, id home.DeviceID) error {
	kept, err := s.signIns(tx, id)
	if err != nil || len(kept.Refused) == 0 {
		return err
	}
	return s.putSignIns(tx, id, kept.Ordered())
}
