package boltfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// A record ends with its sum: sumMark, which no JSON text contains, and a CRC-32C of the key and the text. The key
// is included so that a record which is found under another key than its own counts as damaged. Files of older formats
// have JSON records without a sum, which are read as they are.
const (
	sumMark = 0xFF
	sumSize = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sumOf(key, text []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, text)
}

// withSum returns a text with its sum behind it.
func withSum(key, text []byte) []byte {
	return binary.BigEndian.AppendUint32(append(text, sumMark), sumOf(key, text))
}

// Verify returns the text of a record, or home.ErrCorrupt where its sum does not fit.
func Verify(key, raw []byte) ([]byte, error) {
	n := len(raw) - sumSize
	if n < 0 || raw[n] != sumMark {
		return raw, nil
	}
	if binary.BigEndian.Uint32(raw[n+1:]) != sumOf(key, raw[:n]) {
		return nil, fmt.Errorf("record %q: %w: its checksum does not fit", key, home.ErrCorrupt)
	}
	return raw[:n], nil
}

// Sound reports whether a record has a sum that fits.
func Sound(key, raw []byte) bool {
	n := len(raw) - sumSize
	_, err := Verify(key, raw)
	return n >= 0 && raw[n] == sumMark && err == nil
}

// SumRecords adds the sum to every record of a bucket that has none, and to those of the buckets in it. It is the
// migration of a file from before records had sums, and looks at no content: a damaged record stays one.
func SumRecords(b *bbolt.Bucket) error {
	var keys [][]byte // collected first: a cursor does not survive a change
	err := b.ForEach(func(k, v []byte) error {
		if v == nil {
			return SumRecords(b.Bucket(k))
		}
		if n := len(v) - sumSize; n < 0 || v[n] != sumMark {
			keys = append(keys, bytes.Clone(k))
		}
		return nil
	})
	for _, k := range keys {
		if err == nil {
			err = b.Put(k, withSum(k, bytes.Clone(b.Get(k))))
		}
	}
	return err
}
