package boltfile

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Records are JSON values or FieldRecords under byte keys, each with a checksum. What a store writes with these
// functions has its own types with field tags: the name of a Go field is not part of the file.

// Put writes v with its sum, as JSON or as a FieldRecord. An equal record is not written again, so a transaction
// without a change costs no commit.
func Put[T any](b *bbolt.Bucket, key []byte, v T) error {
	text, err := marshal(&v)
	if err != nil {
		return err
	}
	raw := withSum(key, text)
	if bytes.Equal(b.Get(key), raw) {
		return nil
	}
	return b.Put(key, raw)
}

// Get reads a record. ok is false where there is none. A record whose sum does not fit, or that is none of type T, is
// home.ErrCorrupt.
func Get[T any](b *bbolt.Bucket, key []byte) (v T, ok bool, err error) {
	raw := b.Get(key)
	if raw == nil {
		return v, false, nil
	}
	v, err = Decode[T](key, raw)
	return v, err == nil, err
}

// Each calls do with every record whose key begins with prefix, in the order of the keys. do must not change the
// bucket; an error ends the walk.
func Each[T any](b *bbolt.Bucket, prefix []byte, do func(key []byte, v T) error) error {
	return walk(b, prefix, prefix, do)
}

// From is Each for the records from a key on.
func From[T any](b *bbolt.Bucket, key []byte, do func(key []byte, v T) error) error {
	return walk(b, key, nil, do)
}

// EachSound is Each without the records that are damaged. It returns their keys.
func EachSound[T any](b *bbolt.Bucket, prefix []byte, do func(key []byte, v T) error) (damaged [][]byte, err error) {
	c := b.Cursor()
	for k, raw := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix) && err == nil; k, raw = c.Next() {
		if raw == nil {
			continue // a bucket
		}
		v, bad := Decode[T](k, raw)
		if bad != nil {
			damaged = append(damaged, bytes.Clone(k))
			continue
		}
		err = do(k, v)
	}
	return damaged, err
}

func walk[T any](b *bbolt.Bucket, from, prefix []byte, do func(key []byte, v T) error) error {
	c := b.Cursor()
	for k, raw := c.Seek(from); k != nil && bytes.HasPrefix(k, prefix); k, raw = c.Next() {
		if raw == nil {
			continue // a bucket
		}
		v, err := Decode[T](k, raw)
		if err == nil {
			err = do(k, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// All returns every record of a bucket, in the order of the keys.
func All[T any](b *bbolt.Bucket) (all []T, err error) {
	err = Each(b, nil, func(_ []byte, v T) error { all = append(all, v); return nil })
	return all, err
}

// DeletePrefix deletes every record whose key begins with prefix.
func DeletePrefix(b *bbolt.Bucket, prefix []byte) error {
	var keys [][]byte // collected first: a cursor does not survive a change
	c := b.Cursor()
	for k, _ := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// Append adds a record to a history, a bucket of its own whose keys are consecutive numbers, and deletes the oldest
// where there are more than keep.
func Append(b *bbolt.Bucket, v any, keep uint64) error {
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	if n > keep {
		if err := b.Delete(Key(n - keep)); err != nil {
			return err
		}
	}
	return Put(b, Key(n), v)
}

// Newest returns up to limit records of a history, newest first. It is never nil.
func Newest[T any](b *bbolt.Bucket, limit int) ([]T, error) {
	all := []T{}
	c := b.Cursor()
	for k, raw := c.Last(); k != nil && len(all) < limit; k, raw = c.Prev() {
		v, err := Decode[T](k, raw)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// Decode reads a record that was found under key.
func Decode[T any](key, raw []byte) (v T, err error) {
	text, err := Verify(key, raw)
	if err != nil {
		return v, err
	}
	if err := unmarshal(text, &v, len(text) < len(raw)); err != nil {
		return v, fmt.Errorf("record %q: %w: %w", key, home.ErrCorrupt, err)
	}
	return v, nil
}

func marshal(v any) ([]byte, error) {
	if r, ok := v.(FieldRecord); ok {
		return encode(r)
	}
	return json.Marshal(v)
}

// unmarshal reads a message, or the JSON object that the record was in an older format. A message without a sum has
// lost it: no format had such records.
func unmarshal(text []byte, v any, hasSum bool) error {
	r, ok := v.(FieldRecord)
	switch {
	case !ok || len(text) > 0 && text[0] == '{':
		return json.Unmarshal(text, v)
	case !hasSum:
		return errors.New("it has no checksum")
	}
	return decode(r, text)
}

// Key returns n as a key: big-endian, so that the order of keys is the order of numbers.
func Key(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// Number returns the number in a key or value of eight bytes, 0 for anything else.
func Number(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// Blank reports whether the file has no record but its format number and those under the given keys.
func Blank(tx *bbolt.Tx, ignored ...[]byte) bool {
	c := tx.Cursor()
	for name, _ := c.First(); name != nil; name, _ = c.Next() {
		if !bytes.Equal(name, metaBucket) && !blank(tx.Bucket(name), ignored) {
			return false
		}
	}
	return true
}

func blank(b *bbolt.Bucket, ignored [][]byte) bool {
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		isRecord := v != nil // a bucket in a bucket has no value
		if isRecord && !slices.ContainsFunc(ignored, func(i []byte) bool { return bytes.Equal(i, k) }) ||
			!isRecord && !blank(b.Bucket(k), ignored) {
			return false
		}
	}
	return true
}
