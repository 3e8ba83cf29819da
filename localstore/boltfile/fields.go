package boltfile

import (
	"encoding"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// FieldRecord is a record that is not kept as JSON but as a message of Protocol Buffers, which `protoc --decode_raw`
// shows: a house reads and writes tens of thousands of them in a second. Describe names each field once, with its
// number, for both directions. A number is part of the format, as the tag of a JSON field is.
//
// The record of an older format, a JSON object, is still read by its tags: it begins with "{", which begins no message.
type FieldRecord interface {
	Describe(f *Fields)
}

// Fields is the list of fields of one record, which is either read or written. Zero values are left out.
type Fields struct {
	out     []byte
	in      [maxField + 1]field
	reading bool
	err     error
}

type field struct {
	number uint64
	text   []byte
}

// maxField is the largest number that a field may have; fields behind it are of a newer program and are not read.
const maxField = 23

// encode returns the message of a record.
func encode(r FieldRecord) ([]byte, error) {
	f := Fields{out: make([]byte, 0, 256)}
	r.Describe(&f)
	return f.out, f.err
}

// decode reads a message into a record.
func decode(r FieldRecord, raw []byte) error {
	f := Fields{reading: true}
	for len(raw) > 0 {
		num, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return protowire.ParseError(n)
		}
		var one field
		raw = raw[n:]
		switch kind {
		case protowire.VarintType:
			one.number, n = protowire.ConsumeVarint(raw)
		case protowire.BytesType:
			one.text, n = protowire.ConsumeBytes(raw)
		default:
			return fmt.Errorf("field %d has the unknown type %d", num, kind)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		raw = raw[n:]
		if num <= maxField {
			f.in[num] = one
		}
	}
	r.Describe(&f)
	return f.err
}

// Uint is a field with a number that is not negative.
func Uint[T ~int | ~uint8 | ~uint64](f *Fields, n protowire.Number, v *T) {
	switch {
	case f.reading:
		*v = T(f.in[n].number)
	case *v != 0:
		f.out = protowire.AppendVarint(protowire.AppendTag(f.out, n, protowire.VarintType), uint64(*v))
	}
}

// Text is a field with a string or bytes.
func Text[T ~string | ~[]byte](f *Fields, n protowire.Number, v *T) {
	switch {
	case f.reading && len(f.in[n].text) > 0:
		*v = T(string(f.in[n].text)) // a copy: bbolt owns the bytes
	case !f.reading && len(*v) > 0:
		f.append(n, []byte(*v))
	}
}

func (f *Fields) append(n protowire.Number, text []byte) {
	f.out = protowire.AppendBytes(protowire.AppendTag(f.out, n, protowire.BytesType), text)
}

// binaryValue is a value like time.Time and netip.Addr.
type binaryValue interface {
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// Binary is a field with a value that has a binary form of its own. isZero leaves it out.
func (f *Fields) Binary(n protowire.Number, v binaryValue, isZero bool) {
	switch {
	case f.reading && len(f.in[n].text) > 0:
		if err := v.UnmarshalBinary(f.in[n].text); err != nil && f.err == nil {
			f.err = fmt.Errorf("field %d: %w: %w", n, home.ErrCorrupt, err)
		}
	case !f.reading && !isZero:
		raw, err := v.AppendBinary(make([]byte, 0, 32))
		if err != nil && f.err == nil {
			f.err = fmt.Errorf("field %d: %w", n, err)
		}
		f.append(n, raw)
	}
}
