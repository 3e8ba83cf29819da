// Package wire holds what both ends of the account link share: identities, topics, messages, what is signed, what is sealed,
// and what is proven. It does no I/O. The protocol is written down, with an example of each message, in ../PROTOCOL.md.
//
// JSON carries everything and is never itself signed: signatures, proofs and hashes are over the length-prefixed encoding of
// Encode. A broker is trusted with nothing but to carry.
package wire

import (
	"encoding/binary"
	"fmt"
	"reflect"
)

// MaxMessage is the size of the largest message that is read, in bytes. MaxDevices fit, each with an id, a model and a name of the
// greatest length (in plain letters: JSON makes some characters longer).
const MaxMessage = 512 << 10

// MaxDevices is how many devices one message may speak of.
const MaxDevices = 512

// Encode returns label and vs in the one form that is signed and hashed:
//
//	string, []byte   length in bytes as uint32, then the bytes
//	uint64, int64    8 bytes
//	bool             1 byte, 0 or 1
//	list             number of items as uint32, then each
//	struct           its fields in the order of their declaration, except one named Sig
//
// All numbers are big-endian. The label separates the purposes, so that what was signed for one is nothing in another.
func Encode(label string, vs ...any) []byte {
	b := make([]byte, 0, 256)
	b = appendBytes(b, label)
	for _, v := range vs {
		b = appendValue(b, reflect.ValueOf(v))
	}
	return b
}

func appendBytes[T string | []byte](b []byte, s T) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

func appendValue(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.String:
		return appendBytes(b, v.String())
	case reflect.Uint64:
		return binary.BigEndian.AppendUint64(b, v.Uint())
	case reflect.Int64:
		return binary.BigEndian.AppendUint64(b, uint64(v.Int()))
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1)
		}
		return append(b, 0)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return appendBytes(b, v.Bytes())
		}
		b = binary.BigEndian.AppendUint32(b, uint32(v.Len()))
		for i := range v.Len() {
			b = appendValue(b, v.Index(i))
		}
		return b
	case reflect.Pointer:
		return appendValue(b, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "Sig" {
				b = appendValue(b, v.Field(i))
			}
		}
		return b
	}
	// A message type with such a field is a mistake of this package, which its own tests meet first.
	panic(fmt.Sprintf("wire: %s has no encoding", v.Type()))
}
