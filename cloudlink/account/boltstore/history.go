package boltstore

import (
	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// record appends events to an account's history.
func record(tx *bbolt.Tx, account string, events ...account.Event) error {
	for _, e := range events {
		if e.What == "" {
			continue
		}
		b, err := tx.Bucket(bktHistory).CreateBucketIfNotExists([]byte(account))
		if err == nil {
			err = boltfile.Append(b, eventRecord{ms(e.At), e.What, e.Door, e.Epoch, e.Detail}, keepEvents)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keepEvents is how many lines an account's history has.
const keepEvents = 500

// History returns an account's history, the newest first.
func (s *Store) History(id string) ([]account.Event, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) ([]account.Event, error) {
		es := []account.Event{}
		b := tx.Bucket(bktHistory).Bucket([]byte(id))
		if b == nil {
			return es, nil
		}
		rs, err := boltfile.Newest[eventRecord](b, keepEvents)
		for _, r := range rs {
			es = append(es, account.Event{At: at(r.At), What: r.What, Door: r.Door, Epoch: r.Epoch, Detail: r.Detail})
		}
		return es, err
	})
}
