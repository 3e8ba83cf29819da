package backup_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/backup"
)

var phrase = home.NewSecret("correct horse battery")

func sealed(t testing.TB, size int) (backup.Content, []byte) {
	t.Helper()
	c := backup.Content{Database: bytes.Repeat([]byte("page"), size/4), Key: []byte("key")}
	raw, err := backup.Seal(c, phrase)
	if err != nil {
		t.Fatal(err)
	}
	return c, raw
}

func TestABackupIsReadAsItWasWritten(t *testing.T) {
	for _, size := range []int{0, 4, 48 << 10, 300 << 10} {
		c, raw := sealed(t, size)
		got, err := backup.Open(raw, phrase)
		if err != nil || !bytes.Equal(got.Database, c.Database) || !bytes.Equal(got.Key, c.Key) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if bytes.Contains(raw, []byte("pagepage")) {
			t.Error("the content is in clear text")
		}
	}
}

func TestADamagedBackupIsRefused(t *testing.T) {
	_, raw := sealed(t, 200<<10)
	chunk := 64<<10 + 16
	head := len(raw) % chunk // at least: the last chunk is shorter
	swapped := bytes.Clone(raw)
	copy(swapped[len(raw)-2*chunk:], raw[len(raw)-chunk:])
	for name, bad := range map[string][]byte{
		"empty": nil, "cut in the head": raw[:20], "cut in the middle": raw[:len(raw)/2], "cut by one byte": raw[:len(raw)-1],
		"cut by a chunk": raw[:len(raw)-head], "longer": append(bytes.Clone(raw), 0), "repeated": swapped,
		"another file": bytes.Repeat([]byte{'x'}, 1000),
	} {
		if _, err := backup.Open(bad, phrase); !errors.Is(err, home.ErrCorrupt) && !errors.Is(err, backup.ErrPassphrase) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := backup.Open(raw, home.NewSecret("another")); !errors.Is(err, backup.ErrPassphrase) {
		t.Errorf("another passphrase: %v", err)
	}
	if _, err := backup.Seal(backup.Content{}, home.Secret{}); err == nil {
		t.Error("sealed without a passphrase")
	}
}

// FuzzOpen: a changed byte is found, wherever it is.
func FuzzOpen(f *testing.F) {
	_, raw := sealed(f, 0)
	f.Add(uint16(0), byte(1))
	f.Add(uint16(20), byte(1))
	f.Add(uint16(len(raw)-1), byte(0x80))
	f.Fuzz(func(t *testing.T, at uint16, with byte) {
		bad := bytes.Clone(raw)
		i := int(at) % len(bad)
		if i >= 32 && i < 40 {
			return // the parameters: a large value only costs time
		}
		bad[i] ^= with
		if _, err := backup.Open(bad, phrase); (err == nil) != (with == 0) {
			t.Errorf("byte %d changed by %#x: %v", i, with, err)
		}
	})
}
