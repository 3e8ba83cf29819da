package tpap

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

const (
	// floor is how many sign-ins are left to others: where the device would lock after so many more, none is sent.
	floor = 4
	// refusedTime is for how long a refused credential is not tried again while the device's verifier is the same.
	refusedTime = 24 * time.Hour
)

// history is the record of the sign-ins to a device, as far as it applies to the verifier that the device has now.
type history struct {
	home.SignIns
	form form
	anew bool // the device stores something else since
}

// candidate is a key in the form that the device uses.
type candidate struct {
	keyring.Key
	credential home.Secret
}

// historyOf returns the history of a device that answered r and states owner. What was refused and accepted counts
// only while the device stores the same: its salt belongs to the stored password, as far as is known, and another
// owner or kind of passcode means that it was set up again.
func historyOf(kept home.SignIns, r registration, owner string) history {
	sum := sha256.Sum256(fmt.Appendf(nil, "%x %q %v", r.answer.Salt, r.answer.Extra, r.about.pake))
	verifier := hex.EncodeToString(sum[:16])
	moved := kept.Owner != "" && owner != "" && kept.Owner != owner
	anew := kept.Verifier != verifier || moved
	if anew {
		// The counter stays: an attacker who can change the device's answers could lock it with a new salt for each attempt.
		kept = home.SignIns{Verifier: verifier, Left: kept.Left, LastRefused: kept.LastRefused}
	}
	if owner != "" {
		kept.Owner = owner
	}
	return history{kept, r.form, anew}
}

// nearLock returns home.ErrBudget where the device reported within a day that it locks soon.
func nearLock(kept home.SignIns, now time.Time) error {
	soon := kept.Left != nil && *kept.Left <= floor && now.Sub(kept.LastRefused) < refusedTime
	if !soon || !kept.Accepted.IsZero() {
		return nil
	}
	return errNearLock(*kept.Left, kept.LastRefused, now)
}

// errNearLock is the error of a device that locks soon. While its verifier is the same it is probed once a day.
func errNearLock(left int, refused, now time.Time) error {
	until := refused.Add(refusedTime)
	if !until.After(now) {
		until = now.Add(refusedTime)
	}
	return home.WaitError{Until: until, Reason: fmt.Sprintf("the device locks after %d more that are wrong", max(left, 0))}
}

func (c *conn) save(h history) error {
	return c.d.o.Memory.SaveSignIns(c.dev.ID, h.SignIns)
}

// choose returns the credential to try: the one that the device accepted last, else the newest that was not refused,
// else, a day after the last refusal, the one whose refusal is the longest ago. It returns failure.ErrMismatch where
// all were refused, and home.ErrBudget where the device would lock soon.
func (h history) choose(keys []keyring.Key, now time.Time) (candidate, error) {
	var first, oldest *candidate
	var oldestAt time.Time
	for _, k := range keys {
		credential, err := h.form.credential(k)
		if err != nil {
			return candidate{}, failure.ErrProtocol
		}
		c := candidate{k, credential}
		if h.Accepted == credential {
			return c, nil // right before: it costs nothing of the counter
		}
		switch at, refused := h.refused(credential); {
		case !refused && first == nil:
			first = &c
		case refused && (oldest == nil || at.Before(oldestAt)):
			oldest, oldestAt = &c, at
		}
	}
	if first == nil && oldest != nil && now.Sub(h.LastRefused) >= refusedTime {
		first = oldest
	}
	switch {
	case first == nil:
		return candidate{}, failure.ErrMismatch
	case h.Left != nil && *h.Left <= floor && !(h.anew && now.Sub(h.LastRefused) >= refusedTime):
		return candidate{}, errNearLock(*h.Left, h.LastRefused, now)
	}
	return *first, nil
}

// refused reports whether and when the device refused a credential.
func (h history) refused(credential home.Secret) (time.Time, bool) {
	i := slices.IndexFunc(h.Refused, func(r home.Refusal) bool { return r.Credential == credential })
	if i < 0 {
		return time.Time{}, false
	}
	return h.Refused[i].At, true
}

// accepted returns the history after the device accepted a credential. That a success resets the counter is a guess:
// what was left is unknown then, and the next refusal states it.
func (h history) accepted(c candidate) history {
	h.Accepted, h.Left = c.credential, nil
	h.Refused = without(h.Refused, c)
	return h
}

func without(refused []home.Refusal, c candidate) []home.Refusal {
	return slices.DeleteFunc(slices.Clone(refused), func(r home.Refusal) bool { return r.Credential == c.credential })
}

// refuse returns the history after the device refused a credential, and stated how many more it takes (nil where it did
// not).
func (h history) refuse(c candidate, left *int, now time.Time) history {
	others := without(h.Refused, c)
	if h.Accepted == c.credential { // it stores another since: any may be right now
		h.Accepted, others = home.Secret{}, nil
	}
	h.Refused = append(others, home.Refusal{Credential: c.credential, At: now})
	h.LastRefused = now
	if left != nil {
		h.Left = left
	}
	return h
}

// recordRefusal writes a refusal down, and returns its meaning: home.ErrBudget where other keys are left for later
// probes.
func (c *conn) recordRefusal(err error, keys []keyring.Key) error {
	r, ok := errors.AsType[*refusedError](err)
	if !ok {
		return err
	}
	now := time.Now().UTC().Round(0)
	h := r.history.refuse(r.next, r.left, now)
	if err := errors.Join(c.save(h), c.d.o.Budget.Refused(c.dev.ID)); err != nil {
		return err
	}
	if _, err := h.choose(keys, now); err != nil {
		return err
	}
	return fmt.Errorf("%w: one credential was refused, and the next probe tries another", home.ErrBudget)
}
