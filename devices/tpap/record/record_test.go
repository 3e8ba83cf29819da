package record_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/rekeyd/rekeyd/devices/tpap/record"
	"github.com/rekeyd/rekeyd/devices/tpap/vectors"
)

func TestRecordsAgreeWithTheVectors(t *testing.T) {
	for _, c := range vectors.All(t) {
		if len(c.Records) == 0 {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			secret := c.Bytes(t, "SharedKey")
			key, iv := record.Derived(secret)
			if !bytes.Equal(key, c.Bytes(t, "key")) || !bytes.Equal(iv, c.Bytes(t, "base_nonce")) {
				t.Errorf("key %x, base nonce %x", key, iv)
			}
			session := record.New(secret)
			for _, r := range c.Records {
				seq, ok := record.Seq(r.Sealed)
				if !ok {
					t.Fatal("no sequence number")
				}
				if got := session.Seal(seq, []byte(r.Text)); !bytes.Equal(got, r.Sealed) {
					t.Errorf("%s, seq %d: sealed %x", r.Text, int32(seq), got)
				}
				if got, err := session.Open(seq, r.Sealed); err != nil || string(got) != r.Text {
					t.Errorf("%s, seq %d: opened %q, %v", r.Text, int32(seq), got, err)
				}
			}
		})
	}
}

func TestRecordsOfAnotherSequenceOrSessionAreRefused(t *testing.T) {
	ours, theirs := record.New(bytes.Repeat([]byte{1}, 32)), record.New(bytes.Repeat([]byte{2}, 32))
	sealed := ours.Seal(7, []byte("text"))
	for name, err := range map[string]error{
		"another session":  second(theirs.Open(7, sealed)),
		"another sequence": second(ours.Open(8, sealed)),
		"forged sequence":  second(ours.Open(8, append([]byte{0, 0, 0, 8}, sealed[4:]...))),
		"nothing":          second(ours.Open(0, nil)),
		"no tag":           second(ours.Open(7, sealed[:20])),
	} {
		if !errors.Is(err, record.ErrOpen) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second(_ []byte, err error) error { return err }

// An answer shares key and nonce with its request: that is why a secret must not stand where an answer can be
// guessed.
func TestARequestIsReadWithItsAnswer(t *testing.T) {
	session := record.New(make([]byte, 32))
	request, answer := []byte(`{"secret":"x"}`), []byte(`{"error_code":0}`)
	a, b := session.Seal(1, request)[4:], session.Seal(1, answer)[4:]
	for i := range request {
		if a[i]^b[i]^answer[i] != request[i] {
			t.Fatalf("%s is not read: the devices' rule has changed", hex.EncodeToString(a))
		}
	}
}

// What is opened is what Seal would make of the message: there is one record for a message and a sequence number.
func FuzzRecordIsRefusedOrGenuine(f *testing.F) {
	session := record.New(make([]byte, 32))
	f.Add(uint32(1), session.Seal(1, []byte("text")))
	f.Add(uint32(0xffffffff), session.Seal(0xffffffff, nil))
	f.Add(uint32(0), []byte{})
	f.Fuzz(func(t *testing.T, seq uint32, raw []byte) {
		message, err := session.Open(seq, raw)
		if err == nil && !bytes.Equal(session.Seal(seq, message), raw) {
			t.Fatalf("%x opens to %x", raw, message)
		}
	})
}
