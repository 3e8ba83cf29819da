package account

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestPasswordsThatAreTriedFirstAreRefused(t *testing.T) {
	p := DefaultPolicy()
	for pw, ok := range map[string]bool{
		"correct-horse-12": true, "Tr0ub4dor&3xyz": true, strings.Repeat("ab", 17): false, "short": false,
		"with a space in":  false,
		"ünicode-password": false, "aaaaaaaaaaaa": false, "abcabcabcabc": false, "qwertyuiopas": false,
		"123456789012": false, "Password1234!": false,
		"tplink123456": false, "anna.owner.12": false, "owner-loves-gardens": true,
	} {
		if why := p.checkPassword(pw, "Anna.Owner@example.org"); (why == "") != ok {
			t.Errorf("%q: %q", pw, why)
		}
	}
	p.PasswordMin = 6
	if why := p.checkPassword("hs-100", "a@b.c"); why != "" {
		t.Errorf("the vendor takes six: %s", why)
	}
}

func TestAHashIsVerifiedWithTheParametersThatItNames(t *testing.T) {
	p := DefaultPolicy()
	if p.HashMemory < 19<<10 || p.HashTime < 2 {
		t.Error("below the floor")
	}
	p.HashMemory, p.HashTime = 64, 1
	h := NewHasher(p)
	phc, err := h.Hash(t.Context(), "secret word")
	if err != nil || !strings.HasPrefix(phc, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Fatal(phc, err)
	}
	p.HashTime = 2
	for _, x := range []struct {
		h            *Hasher
		phc, pw      string
		ok, outdated bool
	}{
		{h, phc, "secret word", true, false},
		{h, phc, "secret Word", false, false},
		{NewHasher(p), phc, "secret word", true, true},
		{h, "", "", false, false},
	} {
		ok, outdated, err := x.h.Verify(t.Context(), x.phc, x.pw)
		if ok != x.ok || outdated != x.outdated || err != nil {
			t.Errorf("%+v: %v %v %v", x, ok, outdated, err)
		}
	}
	if _, _, err := h.Verify(t.Context(), "$2a$10$x", "x"); err == nil {
		t.Error("a hash of another form verified")
	}
}

func TestALimitHoldsForItsWindowAndRemembersABoundedNumber(t *testing.T) {
	l := NewLimiter(2, time.Hour)
	at := time.Unix(0, 0)
	for i, x := range []struct {
		after time.Duration
		want  bool
	}{
		{0, true},
		{time.Second, true},
		{2 * time.Second, false},
		{29 * time.Minute, false},
		{31 * time.Minute, true},
		{32 * time.Minute, false},
	} {
		if full := l.Full("k", at.Add(x.after)); full == x.want {
			t.Errorf("%d: full %v", i, full)
		}
		if got := l.Take("k", at.Add(x.after)); got != x.want {
			t.Errorf("%d: %v", i, got)
		}
	}
	for i := range manyKeys + 10 {
		l.Take(fmt.Sprint(i), at)
	}
	if len(l.by) > manyKeys {
		t.Errorf("%d keys remembered", len(l.by))
	}
	unlimited := NewLimiter(1, 0)
	for range 3 {
		if unlimited.Full("k", at) || !unlimited.Take("k", at) {
			t.Error("a limiter without a window has a limit")
		}
	}
}

func TestALockHoldsAndEnds(t *testing.T) {
	l := newLockout(3)
	at := time.Unix(0, 0)
	for range 2 {
		l.failed("k", at)
	}
	if l.locked("k", at) {
		t.Error("locked early")
	}
	l.failed("k", at)
	if !l.locked("k", at.Add(2*time.Hour-time.Second)) || l.locked("k", at.Add(2*time.Hour+time.Second)) ||
		l.locked("other", at) {
		t.Error("not locked for its time")
	}
	l.failed("k", at.Add(3*time.Hour))
	if l.locked("k", at.Add(3*time.Hour)) {
		t.Error("after a lock one failure locks again")
	}
}

func TestTwoFailuresAtOnceLockNoOwnerOut(t *testing.T) {
	l := newLockout(3)
	at := time.Unix(0, 0)
	l.failed("k", at.Add(time.Millisecond))
	l.failed("k", at) // it read the clock first, and comes second
	if l.locked("k", at.Add(time.Second)) {
		t.Error("locked after two failures")
	}
	l.failed("k", at)
	if !l.locked("k", at.Add(time.Second)) {
		t.Error("not locked after three")
	}
}

func TestOneNeighbourIsOneNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7:80": "192.0.2.7", "[2001:db8::1]:80": "2001:db8::/64", "[2001:db8::ffff]:81": "2001:db8::/64",
		"[::ffff:192.0.2.7]:1": "192.0.2.7", "pipe": "pipe",
	} {
		if got := Network(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
