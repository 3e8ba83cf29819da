package account

import (
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

	LoginFailures int           // before an account is locked
	LoginWindow   time.Duration // in which they count
	LoginLock     time.Duration

	PasswordMin, PasswordMax int // printable ASCII characters; devices of this family can hold no more than 32

	HashMemory  uint32 // KiB, of argon2id
	HashTime    uint32
	HashThreads uint8
	Hashers     int // passwords hashed at once; each needs HashMemory

	NoticeEvery time.Duration // how often each account's notice is signed anew and repeated
	MaxDevices  int           // of one account
}

// DefaultPolicy returns what holds unless told otherwise: OWASP's Forgot Password Cheat Sheet and NIST SP 800-63B, within what
// the devices can hold.
func DefaultPolicy() Policy {
	return Policy{
		Activation: true,
		ResetLife:  30 * time.Minute, ActivateLife: 24 * time.Hour, PairingLife: 10 * time.Minute, DisownLife: 7 * 24 * time.Hour,
		SessionLife: 30 * 24 * time.Hour, RefreshLife: 180 * 24 * time.Hour,
		ForgotAnswer: 400 * time.Millisecond, ForgotPause: time.Minute, ForgotPerHour: 5, ForgotFrom: 10,
		LoginFailures: 20, LoginWindow: 30 * time.Minute, LoginLock: 2 * time.Hour,
		PasswordMin: 12, PasswordMax: 32,
		HashMemory: 19 << 10, HashTime: 2, HashThreads: 1, Hashers: min(4, runtime.GOMAXPROCS(0)),
		NoticeEvery: time.Hour, MaxDevices: 100_000,
	}
}

// VendorPolicy is DefaultPolicy with the vendor's rule for passwords: 6 to 32 characters.
func VendorPolicy() Policy {
	p := DefaultPolicy()
	p.PasswordMin = 6
	return p
}
