// Package xor holds the cipher and the framing of the Kasa protocol on port 9999. The cipher hides nothing from
// an eavesdropper: it has no secret key.
//
// Over UDP a datagram is one sealed body. Over TCP a body has its length before it.
package xor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// start is mixed with the first byte; every later one is mixed with the sealed byte before it.
const start = 171

// ErrSize is the error for a frame that is longer than its reader or its header allows.
var ErrSize = errors.New("frame is too long")

// Seal returns plain as it goes over the wire. It leaves plain as it was.
func Seal(plain []byte) []byte {
	sealed := make([]byte, len(plain))
	k := byte(start)
	for i, p := range plain {
		k ^= p
		sealed[i] = k
	}
	return sealed
}

// Open returns the text that Seal was given. Every input opens to some text: only its reader can recognise garbage.
func Open(sealed []byte) []byte {
	plain := make([]byte, len(sealed))
	k := byte(start)
	for i, c := range sealed {
		plain[i] = c ^ k
		k = c
	}
	return plain
}

// WriteFrame writes plain, sealed, with its length before it, in one Write: some devices take what one read brings for
// a whole message.
func WriteFrame(w io.Writer, plain []byte) error {
	if uint64(len(plain)) > math.MaxUint32 {
		return fmt.Errorf("write frame of %d bytes: %w", len(plain), ErrSize)
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(plain)), uint32(len(plain)))
	if _, err := w.Write(append(frame, Seal(plain)...)); err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	return nil
}

// ReadFrame reads one frame and returns its body, opened. It refuses a body of more than limit bytes with ErrSize,
// before it reads the body. It returns io.EOF, unwrapped, only where no byte of a frame came.
func ReadFrame(r io.Reader, limit int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("read frame: %w", err)
	}
	size := binary.BigEndian.Uint32(head[:])
	if uint64(size) > uint64(max(limit, 0)) {
		return nil, fmt.Errorf("read frame of %d bytes, %d allowed: %w", size, limit, ErrSize)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read frame: %w", err)
	}
	return Open(body), nil
}
