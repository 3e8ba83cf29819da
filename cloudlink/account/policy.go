package account

import (
	"errors"
	"fmt"
	"runtime"
	"time"
)

// Policy is every limit and every life of the service, in one place.
type Policy struct {
	Activation bool // a new account has to be activated through a mail before it can be used

	ResetLife    time.Duration // of the link in a reset mail
	ActivateLife time.Duration // of the link in an activation mail
	PairingLife  time.Duration
	DisownLife   time.Duration // of the link "this was not me" in a mail that tells of a change
	SessionLife  time.Duration // of a token
	RefreshLife  time.Duration // of a refresh token

	ForgotAnswer  time.Duration // the instant after a request for a mail at which it is answered, whatever became of it
	ForgotPause   time.Duration // between two mails to one address
	ForgotPerHour int           // mails to one address
	ForgotFrom    int           // requests from one network address in ten minutes

	LoginFailures int // in half an hour, before an address is locked for two hours
	LoginFrom     int // failures from one network address in half an hour, for any accounts

	ConnectionsFrom int // open at once from one network address (/64 of IPv6), on all ports of the program

	PasswordMin, PasswordMax int // printable ASCII characters; devices of this family can hold no more than 32

	HashMemory  uint32 // KiB, of argon2id
	HashTime    uint32
	HashThreads uint8
	Hashers     int // passwords hashed at once; each needs HashMemory

	MaxDevices int // of one account
}

// DefaultPolicy returns what holds unless told otherwise: OWASP's Forgot Password Cheat Sheet and NIST SP 800-63B, within what
// the devices can hold.
func DefaultPolicy() Policy {
	return Policy{
		Activation: true,
		ResetLife:  30 * time.Minute, ActivateLife: 24 * time.Hour, PairingLife: 10 * time.Minute, DisownLife: 7 * 24 * time.Hour,
		SessionLife: 30 * 24 * time.Hour, RefreshLife: 180 * 24 * time.Hour,
		ForgotAnswer: 400 * time.Millisecond, ForgotPause: time.Minute, ForgotPerHour: 5, ForgotFrom: 10,
		LoginFailures: 20, LoginFrom: 200,
		ConnectionsFrom: 256,
		PasswordMin:     12, PasswordMax: 32,
		HashMemory: 19 << 10, HashTime: 2, HashThreads: 1, Hashers: min(4, runtime.GOMAXPROCS(0)),
		MaxDevices: 100_000,
	}
}

// VendorPolicy is DefaultPolicy with the vendor's rule for passwords: 6 to 32 characters.
func VendorPolicy() Policy {
	p := DefaultPolicy()
	p.PasswordMin = 6
	return p
}

const day = 24 * time.Hour

// knobs are all limits of p. What a file can set, protects: tests that are in a hurry set fields.
func (p *Policy) knobs() []knob {
	life := func(name string, d *time.Duration, low, high time.Duration) knob {
		return knob{name, d, int64(low), int64(high)}
	}
	return []knob{
		{"activation", &p.Activation, 0, 1},
		life("reset_life", &p.ResetLife, time.Second, day),
		life("activate_life", &p.ActivateLife, time.Second, 30*day),
		life("pairing_life", &p.PairingLife, time.Second, day),
		life("disown_life", &p.DisownLife, time.Hour, 90*day),
		life("session_life", &p.SessionLife, time.Second, 3650*day),
		life("refresh_life", &p.RefreshLife, time.Second, 3650*day),
		life("forgot_answer", &p.ForgotAnswer, 100*time.Millisecond, 10*time.Second), // less, and a busy machine's delays would show
		life("forgot_pause", &p.ForgotPause, time.Second, day),
		{"forgot_per_hour", &p.ForgotPerHour, 1, 1000},
		{"forgot_from", &p.ForgotFrom, 1, 100_000},
		{"login_failures", &p.LoginFailures, 1, 1000},
		{"login_from", &p.LoginFrom, 1, 100_000},
		{"connections_from", &p.ConnectionsFrom, 8, 100_000},
		{"password_min", &p.PasswordMin, leastPassword, mostPassword},
		{"password_max", &p.PasswordMax, leastPassword, mostPassword},
		{"hash_memory", &p.HashMemory, 19 << 10, 4 << 20}, // OWASP's floor
		{"hash_time", &p.HashTime, 2, 100},
		{"hash_threads", &p.HashThreads, 1, 64},
		{"hashers", &p.Hashers, 1, 1024},
		{"max_devices", &p.MaxDevices, 1, 1_000_000},
	}
}

// What the devices of this family can hold, in characters (facts of the vendor's code -20615).
const leastPassword, mostPassword = 6, 32

// check returns what is wrong with p, each by its name. It lets through what a file may not say but makes sense where time is short, or
// passwords are nobody's: in tests.
func (p Policy) check() error {
	var errs []error
	for _, k := range p.knobs() {
		low := min(k.low, 1)
		switch k.name {
		case "forgot_answer", "forgot_pause":
			low = 0
		case "password_min", "password_max":
			low = k.low
		}
		if n := k.value(); n < low || n > k.high {
			errs = append(errs, fmt.Errorf("policy: %s: %s is not within %s to %s", k.name, k.said(n), k.said(low), k.said(k.high)))
		}
	}
	if p.PasswordMin > p.PasswordMax {
		errs = append(errs, fmt.Errorf("policy: password_min: %d is more than password_max, %d", p.PasswordMin, p.PasswordMax))
	}
	return errors.Join(errs...)
}
