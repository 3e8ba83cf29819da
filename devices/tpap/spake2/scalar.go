package spake2

import (
	"encoding/binary"
	"math/bits"
)

// scalar is a number below the order of P-256, 32 bytes big endian.
type scalar [32]byte

// order is n of P-256 (SP 800-186, section 3.2.1.3), in words of which the lowest is first. It is never changed.
var order = [5]uint64{0xf3b9cac2fc632551, 0xbce6faada7179e84, 0xffffffffffffffff, 0xffffffff00000000, 0}

// reduce returns wide, big endian, modulo the order. Its time depends on the length of wide only.
func reduce(wide []byte) scalar {
	var r [5]uint64 // below the order before each step, so that twice as much and one fits in five words
	for _, b := range wide {
		for i := 7; i >= 0; i-- {
			carry := uint64(b>>i) & 1
			for j := range r {
				r[j], carry = r[j]<<1|carry, r[j]>>63
			}
			r = lessOrder(r)
		}
	}
	return pack(r)
}

// negate returns the order minus s, for s that is not 0.
func (s scalar) negate() scalar {
	var r [5]uint64
	var borrow uint64
	for j := range 4 {
		r[j], borrow = bits.Sub64(order[j], binary.BigEndian.Uint64(s[24-8*j:]), borrow)
	}
	return pack(lessOrder(r)) // for 0 it is the order itself before
}

// lessOrder returns r minus the order where r is not below it, and else r, in the same time.
func lessOrder(r [5]uint64) [5]uint64 {
	var less [5]uint64
	var borrow uint64
	for j := range r {
		less[j], borrow = bits.Sub64(r[j], order[j], borrow)
	}
	keep := -borrow // all ones where r is below the order
	for j := range r {
		r[j] = r[j]&keep | less[j]&^keep
	}
	return r
}

func pack(r [5]uint64) (s scalar) {
	for j := range 4 {
		binary.BigEndian.PutUint64(s[24-8*j:], r[j])
	}
	return s
}
