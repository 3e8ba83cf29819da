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

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// hasher hashes passwords with argon2id, a bounded number at once: each takes megabytes, and a flood of logins must not take all.
type hasher struct {
	p     Policy
	slots chan struct{}
	dummy string        // verified for unknown users, in the same time; no password has it
	used  atomic.Uint64 // hashes computed
}

const saltSize, hashSize = 16, 32

func newHasher(p Policy) *hasher {
	h := &hasher{p: p, slots: make(chan struct{}, hashers())}
	nobody := make([]byte, saltSize+hashSize)
	_, _ = rand.Read(nobody)
	h.dummy = h.phc(nobody[:saltSize], nobody[saltSize:])
	return h
}

func (h *hasher) phc(salt, sum []byte) string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.p.HashMemory, h.p.HashTime, hashThreads,
		enc.EncodeToString(salt), enc.EncodeToString(sum))
}

func (h *hasher) enter(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("hash: %w", home.ErrUnavailable)
	}
}

// hash returns the password's hash in PHC form. It waits for its turn as long as ctx lasts.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer func() { <-h.slots }()
	h.used.Add(1)
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	return h.phc(salt, argon2.IDKey([]byte(password), salt, h.p.HashTime, h.p.HashMemory, hashThreads, hashSize)), nil
}

// verify tells whether the password is that of the hash, and whether the hash was made with other parameters than those of now.
// An empty hash takes the same time, and is nobody's.
func (h *hasher) verify(ctx context.Context, phc, password string) (ok, outdated bool, err error) {
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
	if _, err := fmt.Sscanf(parts[2]+"$"+parts[3], "v=%d$m=%d,t=%d,p=%d", &version, &m, &t, &p); err != nil || version != argon2.Version {
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

// A Weak is why a new password is refused.
type Weak string

// Of composition nothing is asked: only that devices can hold the password, and that it is none of those that are tried first.
const (
	WeakLength Weak = "length" // or characters that a device cannot hold
	WeakCommon Weak = "common" // one of those that are tried first
	WeakEmail  Weak = "email"  // made of the e-mail address
	WeakSame   Weak = "same"   // as the old one
)

// weakPassword is a v1.Error that says which.
type weakPassword struct {
	answer error
	why    Weak
}

func (w *weakPassword) Error() string { return w.answer.Error() }
func (w *weakPassword) Unwrap() error { return w.answer }

// Weakness tells why a new password was refused; empty for another error.
func Weakness(err error) Weak {
	if w, ok := errors.AsType[*weakPassword](err); ok {
		return w.why
	}
	return ""
}

// weak is the answer to a new password that is refused.
func (s *Service) weak(why Weak) error {
	text := ""
	switch why {
	case WeakLength:
		text = fmt.Sprintf("the password must have %d to %d characters: letters, digits and signs of ASCII, no spaces. "+
			"The devices can hold no others", s.o.Policy.PasswordMin, MaxPassword)
	case WeakCommon:
		text = "this password is one of those that are tried first: choose another"
	case WeakEmail:
		text = "the password must not be made of the e-mail address"
	case WeakSame:
		text = "the new password is the old one"
	}
	return &weakPassword{Refused(v1.BadNewPassword, text), why}
}

// checkPassword says what is wrong with a new password; empty when nothing is.
func (p Policy) checkPassword(password, email string) Weak {
	if len(password) < p.PasswordMin || len(password) > MaxPassword ||
		strings.ContainsFunc(password, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return WeakLength
	}
	low := strings.ToLower(password)
	if isCommon(low) {
		return WeakCommon
	}
	rest := low
	for _, word := range strings.FieldsFunc(strings.ToLower(email), func(r rune) bool { return strings.ContainsRune("@.+-_", r) }) {
		if len(word) >= 3 {
			rest = strings.ReplaceAll(rest, word, "")
		}
	}
	if len(rest)*2 < len(low) {
		return WeakEmail
	}
	return ""
}

// isCommon tells whether a password, in lower case, is among those that every list begins with: one piece repeated, a run of the
// keyboard or the alphabet, a common word with digits behind it.
func isCommon(low string) bool {
	for n := 1; n <= len(low)/3; n++ {
		if strings.HasPrefix(strings.Repeat(low[:n], len(low)/n+1), low) {
			return true
		}
	}
	for _, run := range [...]string{
		"abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm", "1234567890123456789012345678901234567890", "0987654321098765432109876543210",
		"1qaz2wsx3edc4rfv5tgb6yhn7ujm", "q1w2e3r4t5y6u7i8o9p0", "1q2w3e4r5t6y7u8i9o0p", "qwerty123456789", "qwertyuiop1234567890",
	} {
		if strings.HasPrefix(run, low) || strings.Contains(run, low) && len(low) >= 6 {
			return true
		}
	}
	word := strings.TrimRight(low, "0123456789!.?*#$@")
	for _, common := range [...]string{
		"password", "passw0rd", "p@ssword", "p@ssw0rd", "passwordpassword", "qwerty", "qwertyuiop", "letmein", "welcome", "admin", "administrator",
		"iloveyou", "changeme", "tplink", "tp-link", "tapo", "kasa", "tpcamera", "camera", "monkey", "dragon", "football", "baseball", "sunshine",
		"princess", "superman", "master", "login", "secret", "default", "abc", "qazwsx", "asdfgh", "zxcvbnm", "",
	} {
		if word == common {
			return true
		}
	}
	return false
}
