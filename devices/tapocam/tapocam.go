// Package tapocam is the driver for Tapo cameras: SSL-AES on port 443, JSON inside. Facts and sources:
// devices/PROTOCOLS.md, section 10. It was never tried on a camera; a guess is marked as one.
//
// A camera proves what it holds before this side proves anything: one answer is compared with every password of the
// vault, hashed in both ways, without a sign-in. Only where one matches does the driver sign in, to identify the
// camera: cameras reveal that to no other host, and a password proves an account, not a device. That sign-in counts,
// too, until the camera has accepted it: a camera that proves a password and then refuses it is not locked by this
// program.
//
// Older firmware knows only a sign-in with a hash of the password. There each attempt costs a sign-in, and sends
// whatever has the address a hash that is as good as the password: none is made without the owner's consent
// (home.CleartextConsent).
package tapocam

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/post"
)

// Options are the options of New.
type Options struct {
	Budget  keyring.Budget // required
	Memory  keyring.Memory // of refused passwords; the driver's own, until the process ends, when nil
	Timeout time.Duration  // for one request and its answer; 5 s when zero
	Dial    post.Dial      // used instead of TCP, where given
}

// Driver speaks to cameras. It is safe for use by several goroutines.
type Driver struct {
	o     Options
	memos keyring.Memos[memo]
}

// memo is the memory of a driver about one camera until the daemon ends.
type memo struct {
	cert   [sha256.Size]byte // of the camera when it last identified itself
	proves bool              // it has given a proof: it never receives a hash again
}

// New checks o.
func New(o Options) (*Driver, error) {
	var errs []error
	if o.Budget == nil {
		errs = append(errs, errors.New("tapocam: budget is required"))
	}
	if o.Timeout < 0 {
		errs = append(errs, errors.New("tapocam: timeout is not negative"))
	}
	if o.Memory == nil {
		o.Memory = &keyring.Transient{}
	}
	return &Driver{o: o}, errors.Join(errs...)
}

// Probe finds which password the camera holds. It returns home.ErrBudget where that would cost a sign-in that is not to
// be spent now.
func (d *Driver) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: dev}
	conn := d.connect(dev, c.Account, c.Terms)
	defer conn.http.Close()
	s, err := conn.signIn(ctx, recordedFirst(keyring.CameraCandidates(c), c.Recorded), c.Recorded != 0)
	switch {
	case errors.Is(err, home.ErrBudget) && ctx.Err() == nil && s.device == nil && !s.hash.IsZero() &&
		conn.certificateKnown():
		s.detail = "enough sign-ins were tried for now: it is recognised by its certificate"
		f.Match, f.Verdict = s.verdict()
		return f, nil
	case err != nil:
		if errors.Is(err, home.ErrCleartext) {
			f.Rank = home.HashFirst
		}
		return failure.Finding(ctx, f, err)
	}
	defer s.device.forget()
	plate, err := s.device.identify(ctx)
	if err != nil {
		return failure.Finding(ctx, f, err)
	}
	conn.recordCertificate()
	f.Device = plate.Describe(dev)
	if s.device.cipher == nil {
		f.Rank = home.HashFirst // its firmware received the hash and proved nothing
	}
	f.Match, f.Verdict = s.verdict()
	return f, nil
}

// recordedFirst moves the password that the camera was last seen to hold to the front.
func recordedFirst(keys []keyring.Key, recorded home.Epoch) []keyring.Key {
	slices.SortStableFunc(keys, func(a, b keyring.Key) int {
		first := func(k keyring.Key) int {
			if recorded != 0 && k.Verdict.Epoch == recorded {
				return 0
			}
			return 1
		}
		return first(a) - first(b)
	})
	return keys
}
