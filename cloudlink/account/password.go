package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/argon2"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Hasher hashes passwords with argon2id, a bounded number at once: each takes megabytes, and a flood of logins must
// not take all.
type Hasher struct {
	p     Policy
	slots chan struct{}
	dummy string        // verified for unknown users, in the same time; no password has it
	used  atomic.Uint64 // hashes computed
}

const saltSize, hashSize = 16, 32

// NewHasher returns a hasher with the parameters of p, for as many hashes at once as fit into the memory.
func NewHasher(p Policy) *Hasher {
	h := &Hasher{p: p, slots: make(chan struct{}, p.hashers())}
	random := make([]byte, saltSize+hashSize)
	_, _ = rand.Read(random)
	h.dummy = h.phc(random[:saltSize], random[saltSize:])
	return h
}

func (h *Hasher) phc(salt, sum []byte) string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.p.HashMemory, h.p.HashTime, hashThreads,
		enc.EncodeToString(salt), enc.EncodeToString(sum))
}

func (h *Hasher) enter(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("hash: %w", home.ErrUnavailable)
	}
}

// Hash returns the password's hash in PHC form. It waits for its turn as long as ctx lasts.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer func() { <-h.slots }()
	h.used.Add(1)
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	return h.phc(salt, argon2.IDKey([]byte(password), salt, h.p.HashTime, h.p.HashMemory, hashThreads, hashSize)), nil
}

// Verify returns whether the password matches the hash, and whether the hash has other parameters than the policy. An
// empty hash takes the same time and matches no password.
func (h *Hasher) Verify(ctx context.Context, phc, password string) (ok, outdated bool, err error) {
	if phc == "" {
		phc = h.dummy
	}
	var version int
	var m, t uint32
	var p uint8
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, false, errors.New("hash of another form")
	}
	if _, err := fmt.Sscanf(parts[2]+"$"+parts[3], "v=%d$m=%d,t=%d,p=%d", &version, &m, &t, &p); err != nil ||
		version != argon2.Version {
		return false, false, errors.New("hash of another form")
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	sum, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err := errors.Join(err1, err2); err != nil {
		return false, false, errors.New("hash of another form")
	}
	if err := h.enter(ctx); err != nil {
		return false, false, err
	}
	defer func() { <-h.slots }()
	h.used.Add(1)
	got := argon2.IDKey([]byte(password), salt, t, m, p, uint32(len(sum)))
	ok = subtle.ConstantTimeCompare(got, sum) == 1
	return ok, m != h.p.HashMemory || t != h.p.HashTime || p != hashThreads, nil
}
