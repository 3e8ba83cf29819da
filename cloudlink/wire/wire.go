// Package wire holds what both ends of the account link share: identities, topics, messages, signatures, seals and
// proofs. It does no I/O. ../PROTOCOL.md describes the protocol, with an example of each message.
//
// Messages are JSON in a JWS: the bytes that travel are the bytes that are signed. A broker is trusted with nothing but
// to carry.
package wire

import "encoding/binary"

// MaxMessage is the size of the largest message that is read, in bytes, as it travels. MaxDevices fit, each with an ID,
// a model and a name of the greatest length (in plain letters: JSON makes some characters longer), and so do MaxProven,
// each with an ID of the greatest length.
const MaxMessage = 512 << 10

// MaxDevices is the number of devices that one message may name, except for a sign-in and its answer: MaxProven.
const (
	MaxDevices = 512
	MaxProven  = 2048
)

// encode joins parts so that no two lists of parts give the same bytes: each part is preceded by its length as uint32,
// big-endian. Proofs are computed over it, and seals are bound to it. The first part names the purpose; numbers are
// decimal.
func encode(parts ...string) []byte { return appendParts(nil, parts...) }

func appendParts(b []byte, parts ...string) []byte {
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return b
}
