package localstore

import (
	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// table is a bucket whose records stand for values of the type H, a type of daemon/home.
type table[H any, R interface{ home() H }] struct {
	bucket func(*bbolt.Tx) *bbolt.Bucket
	toDisk func(H) R
}

func top(name string) func(*bbolt.Tx) *bbolt.Bucket {
	return func(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket([]byte(name)) }
}

var (
	accounts = table[home.Account, accountRecord]{top("accounts"), accountToDisk}
	devices  = table[home.Device, deviceRecord]{top("devices"), deviceToDisk}
	bindings = table[home.Binding, bindingRecord]{top("bindings"), bindingToDisk}
	intents  = table[home.Intent, intentRecord]{top("intents"), intentToDisk}
)

func (t table[H, R]) put(tx *bbolt.Tx, key string, v H) error {
	return boltfile.Put(t.bucket(tx), []byte(key), t.toDisk(v))
}

func (t table[H, R]) get(tx *bbolt.Tx, key string) (v H, ok bool, err error) {
	r, ok, err := boltfile.Get[R](t.bucket(tx), []byte(key))
	if ok {
		v = r.home()
	}
	return v, ok, err
}

func (t table[H, R]) has(tx *bbolt.Tx, key string) bool { return t.bucket(tx).Get([]byte(key)) != nil }

func (t table[H, R]) delete(tx *bbolt.Tx, key string) error { return t.bucket(tx).Delete([]byte(key)) }

// all returns every value, in the order of the keys.
func (t table[H, R]) all(tx *bbolt.Tx) (vs []H, err error) {
	err = boltfile.Each(t.bucket(tx), nil, func(_ []byte, r R) error { vs = append(vs, r.home()); return nil })
	return vs, err
}
