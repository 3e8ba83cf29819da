package boltfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// plug is a FieldRecord.
type plug struct {
	Name  string
	Key   []byte
	Count uint64
	At    time.Time
	Addr  netip.Addr
}

func (p *plug) Describe(f *boltfile.Fields) {
	boltfile.Text(f, 1, &p.Name)
	boltfile.Text(f, 2, &p.Key)
	boltfile.Uint(f, 3, &p.Count)
	f.Binary(4, &p.At, p.At.IsZero())
	f.Binary(23, &p.Addr, !p.Addr.IsValid())
}

func (p plug) equal(q plug) bool {
	return p.Name == q.Name && bytes.Equal(p.Key, q.Key) && p.Count == q.Count && p.At.Equal(q.At) && p.Addr == q.Addr
}

var aPlug = plug{
	"lamp", []byte{1, 0, 255}, 1<<64 - 1, time.Date(9999, 1, 2, 3, 4, 5, 6, time.UTC), netip.MustParseAddr("fe80::1%eth0"),
}

func TestAFieldRecordIsReadAsItWasWritten(t *testing.T) {
	for _, want := range []plug{{}, aPlug, {Name: "{"}, {Count: 127}, {Key: bytes.Repeat([]byte{7}, 1000)}} {
		inBucket(t, func(b *bbolt.Bucket) error {
			if err := boltfile.Put(b, []byte("k"), want); err != nil {
				return err
			}
			got, ok, err := boltfile.Get[plug](b, []byte("k"))
			if err == nil && (!ok || !got.equal(want)) {
				err = fmt.Errorf("%+v was read as %+v", want, got)
			}
			return err
		})
	}
}

func TestAFieldOfANewerProgramIsSkipped(t *testing.T) {
	inBucket(t, func(b *bbolt.Bucket) error {
		if err := boltfile.Put(b, []byte("k"), aPlug); err != nil {
			return err
		}
		text, err := boltfile.Verify([]byte("k"), bytes.Clone(b.Get([]byte("k"))))
		if err != nil {
			return err
		}
		text = protowire.AppendVarint(protowire.AppendTag(text, 100, protowire.VarintType), 5)
		if err := errors.Join(b.Put([]byte("k"), text), boltfile.SumRecords(b)); err != nil {
			return err
		}
		got, _, err := boltfile.Get[plug](b, []byte("k"))
		if err == nil && !got.equal(aPlug) {
			err = fmt.Errorf("read %+v", got)
		}
		return err
	})
}

func TestEveryFlippedBitOfAFieldRecordIsNoticed(t *testing.T) {
	inBucket(t, func(b *bbolt.Bucket) error {
		if err := boltfile.Put(b, []byte("k"), aPlug); err != nil {
			return err
		}
		raw := bytes.Clone(b.Get([]byte("k")))
		for bit := range 8 * len(raw) {
			raw[bit/8] ^= 1 << (bit % 8)
			if _, err := boltfile.Decode[plug]([]byte("k"), raw); !errors.Is(err, home.ErrCorrupt) {
				t.Errorf("bit %d: %v, want home.ErrCorrupt", bit, err)
			}
			raw[bit/8] ^= 1 << (bit % 8)
		}
		return nil
	})
}

// FuzzFieldRecord reads any text with a sum: it is refused, or what was read survives another round.
func FuzzFieldRecord(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("{"))
	f.Add([]byte{0x0a, 1, 'x'})
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{0x22, 1, 9})
	f.Fuzz(func(t *testing.T, text []byte) {
		inBucket(t, func(b *bbolt.Bucket) error {
			if err := errors.Join(b.Put([]byte("k"), text), boltfile.SumRecords(b)); err != nil {
				return err
			}
			p, _, err := boltfile.Get[plug](b, []byte("k"))
			if err != nil {
				return nil
			}
			if err := boltfile.Put(b, []byte("k"), p); err != nil {
				return nil // a time with an offset that has seconds cannot be written
			}
			q, _, err := boltfile.Get[plug](b, []byte("k"))
			if err != nil || !q.equal(p) {
				return fmt.Errorf("%+v was read as %+v, %w", p, q, err)
			}
			return nil
		})
	})
}
