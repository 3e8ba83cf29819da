package xor_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/rekeyd/rekeyd/devices/xor"
)

// The sealed forms were made by other people's clients (devices/PROTOCOLS.md, section 4).
var vectors = []struct{ plain, sealed string }{
	{`{"system":{"get_sysinfo":{}}}`, "d0f281f88bff9af7d5ef94b6d1b4c09fec95e68fe187e8caf08bf68bf6"},
	{`{"cnCloud":{"get_info":{}}}`, "d0f291ffbcd0bfcaae8cb6cdef88ed99c6afc1a7c8ead0abd6abd6"},
}

func TestSealsAndOpensWhatOthersDo(t *testing.T) {
	for _, v := range vectors {
		sealed, err := hex.DecodeString(v.sealed)
		if err != nil {
			t.Fatal(err)
		}
		if got := xor.Seal([]byte(v.plain)); !bytes.Equal(got, sealed) {
			t.Errorf("Seal(%s) = %x, want %s", v.plain, got, v.sealed)
		}
		if got := xor.Open(sealed); string(got) != v.plain {
			t.Errorf("Open(%s) = %q, want %s", v.sealed, got, v.plain)
		}
	}
}

func TestSealAndOpenLeaveTheirInputAlone(t *testing.T) {
	plain := []byte(vectors[0].plain)
	sealed := xor.Seal(plain)
	if string(plain) != vectors[0].plain {
		t.Errorf("Seal changed its input to %q", plain)
	}
	kept := bytes.Clone(sealed)
	xor.Open(sealed)
	if !bytes.Equal(sealed, kept) {
		t.Errorf("Open changed its input to %x", sealed)
	}
}

// A third party's capture of a set_dev_alias command: the length, and both ends of the body.
func TestFrameIsWhatAnAppWasSeenToSend(t *testing.T) {
	const plain = `{"system":{"set_dev_alias":{"alias":"My Smart Plug"}}}`
	var b bytes.Buffer
	if err := xor.WriteFrame(&b, []byte(plain)); err != nil {
		t.Fatal(err)
	}
	got := hex.EncodeToString(b.Bytes())
	if want := "00000036d0f281f8"; got[:len(want)] != want {
		t.Errorf("frame begins with %s, want %s", got[:len(want)], want)
	}
	if want := "b9c4"; got[len(got)-len(want):] != want {
		t.Errorf("frame ends with %s, want %s", got[len(got)-len(want):], want)
	}
}

type countWrites int

func (c *countWrites) Write(p []byte) (int, error) { *c++; return len(p), nil }

func TestWriteFrameIsOneWrite(t *testing.T) {
	var writes countWrites
	if err := xor.WriteFrame(&writes, []byte("{}")); err != nil || writes != 1 {
		t.Errorf("%d writes, error %v; want 1 write, since devices take a read for a message", writes, err)
	}
}

func TestReadFrameTakesItInAnyPieces(t *testing.T) {
	var b bytes.Buffer
	for _, v := range vectors {
		if err := xor.WriteFrame(&b, []byte(v.plain)); err != nil {
			t.Fatal(err)
		}
	}
	r := iotest.OneByteReader(&b)
	for _, v := range vectors {
		got, err := xor.ReadFrame(r, 1000)
		if err != nil || string(got) != v.plain {
			t.Errorf("ReadFrame = %q, %v; want %s", got, err, v.plain)
		}
	}
	if _, err := xor.ReadFrame(r, 1000); err != io.EOF {
		t.Errorf("at the end: %v, want io.EOF as it is", err)
	}
}

func TestReadFrameRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes string
		limit int
		want  error
	}{
		{"a length beyond the limit", "\x00\x00\x00\x05hello", 4, xor.ErrSize},
		{"the greatest length", "\xff\xff\xff\xff", 1 << 20, xor.ErrSize},
		{"any body where nothing is allowed", "\x00\x00\x00\x01a", -1, xor.ErrSize},
		{"half a length", "\x00\x00", 100, io.ErrUnexpectedEOF},
		{"half a body", "\x00\x00\x00\x05he", 100, io.ErrUnexpectedEOF},
		{"a length without a body", "\x00\x00\x00\x05", 100, io.ErrUnexpectedEOF},
	} {
		if _, err := xor.ReadFrame(bytes.NewReader([]byte(c.bytes)), c.limit); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// Laws: what was sealed opens to itself, also the other way round, and through a frame.
func FuzzSealOpens(f *testing.F) {
	for _, v := range vectors {
		f.Add([]byte(v.plain))
	}
	f.Add([]byte{})
	f.Add([]byte{171})
	f.Add([]byte{0, 0, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		if got := xor.Open(xor.Seal(b)); !bytes.Equal(got, b) {
			t.Errorf("Open(Seal(%x)) = %x", b, got)
		}
		if got := xor.Seal(xor.Open(b)); !bytes.Equal(got, b) {
			t.Errorf("Seal(Open(%x)) = %x", b, got)
		}
		var frame bytes.Buffer
		if err := xor.WriteFrame(&frame, b); err != nil {
			t.Fatal(err)
		}
		if got, err := xor.ReadFrame(&frame, len(b)); err != nil || !bytes.Equal(got, b) || frame.Len() != 0 {
			t.Errorf("ReadFrame(WriteFrame(%x)) = %x, %v, %d bytes left", b, got, err, frame.Len())
		}
	})
}
