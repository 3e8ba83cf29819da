package tpap

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/tpap/record"
	"github.com/rekeyd/rekeyd/devices/tpap/spake2"
)

// rest is how long a C200 takes no sign-in after a session: it refuses the right password, and counts it.
const rest = 2 * time.Second

// signIn tries one of the keys, the one that the memory of the device's sign-ins chooses.
func (c *conn) signIn(ctx context.Context, a about, keys []keyring.Key) (*session, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	recently := c.d.recentlyEnded(c.dev.ID)
	s, err := c.attempt(ctx, a, keys)
	if !errors.Is(err, errRefused) {
		return s, err
	}
	if recently && c.camera {
		select {
		case <-ctx.Done():
			return nil, failure.Unreachable(ctx.Err())
		case <-time.After(rest):
		}
		// The same credential once more: it is not recorded as refused yet.
		if s, err = c.attempt(ctx, a, keys); !errors.Is(err, errRefused) {
			return s, err
		}
	}
	return nil, c.recordRefusal(err, keys)
}

// attempt is one exchange with the next credential.
func (c *conn) attempt(ctx context.Context, a about, keys []keyring.Key) (*session, error) {
	kept, err := c.d.o.Memory.SignIns(c.dev.ID)
	if err != nil {
		return nil, err
	}
	if err := nearLock(kept, time.Now()); err != nil {
		return nil, err
	}
	r, err := c.register(ctx, a)
	if refusal, ok := errors.AsType[*refusedError](err); ok {
		// No credential was sent yet, and one report has this code and a counter here all the same (section 11.6).
		kept.Left, kept.LastRefused = refusal.left, time.Now().UTC().Round(0)
		return nil, errors.Join(unspokenf("another user name"), c.d.o.Memory.SaveSignIns(c.dev.ID, kept))
	}
	if err != nil {
		return nil, err
	}
	h := historyOf(kept, r, c.dev.Owner)
	next, err := h.choose(keys, time.Now())
	if err != nil {
		return nil, err
	}
	if err := c.d.o.Budget.Spend(c.dev.ID); err != nil {
		return nil, err
	}
	s, err := c.share(ctx, r, next)
	if refusal, ok := errors.AsType[*refusedError](err); ok {
		refusal.history, refusal.next = h, next
		return nil, refusal
	}
	if err != nil {
		return nil, err
	}
	if err := errors.Join(c.d.o.Budget.Good(c.dev.ID), c.save(h.accepted(next))); err != nil {
		return nil, err
	}
	return s, nil
}

// registration is the device's answer to the first step.
type registration struct {
	userRandom []byte
	answer     registered
	form       form
	about      about
}

// register begins an exchange. The device learns nothing by it.
func (c *conn) register(ctx context.Context, a about) (registration, error) {
	r := registration{userRandom: make([]byte, 32), about: a}
	_, _ = rand.Read(r.userRandom) // never fails
	raw, err := c.post(ctx, map[string]any{
		"sub_method": "pake_register", "username": userName(a.userHash), "user_random": r.userRandom,
		"cipher_suites": []int{1}, "encryption": []string{"aes_128_ccm"}, "passcode_type": "userpw",
	})
	if err != nil {
		return r, err
	}
	r.answer, err = parseRegistered(raw)
	if err != nil {
		return r, err
	}
	r.form, err = parseForm(r.answer.Extra, c.camera)
	return r, err
}

// share proves the credential to the device, and checks the device's proof.
func (c *conn) share(ctx context.Context, r registration, next candidate) (*session, error) {
	secrets, err := c.stretch(r, next.credential)
	if err != nil {
		return nil, failure.ErrProtocol
	}
	p := spake2.NewProver(secrets.secrets)
	keys, err := p.Finish(spake2.Context(r.userRandom, r.answer.Random), r.answer.Share)
	if err != nil {
		return nil, failure.ErrProtocol // a share that no honest device sends: nothing was sent to it
	}
	params := map[string]any{"sub_method": "pake_share", "user_share": p.Share(), "user_confirm": keys.User}
	if r.about.attests && !usesTLS(c.dev) {
		nonce := make([]byte, 32)
		_, _ = rand.Read(nonce) // never fails
		params["dac_nonce"] = nonce
	}
	raw, err := c.post(ctx, params)
	if err != nil {
		return nil, err
	}
	got, err := parseShared(raw)
	if err != nil {
		return nil, err
	}
	if !keys.ProvedByDevice(got.confirm) {
		return nil, errUnproved
	}
	c.d.stretched.Set(c.dev.ID, secrets)
	cipher := record.New(keys.Shared)
	return &session{conn: c, key: next.Key, form: r.form, stok: got.stok, seq: got.seq, cipher: cipher}, nil
}

// stretched is the credential that a device accepted last, stretched with its salt: that takes longer than the rest of
// an exchange.
type stretched struct {
	credential home.Secret
	salt       string
	iterations int
	secrets    spake2.Secrets
}

// stretch returns the secrets of a credential, those of the last exchange where credential and salt are the same.
func (c *conn) stretch(r registration, credential home.Secret) (stretched, error) {
	s := c.d.stretched.Of(c.dev.ID)
	if s.credential == credential && s.salt == string(r.answer.Salt) && s.iterations == r.answer.Iterations {
		return s, nil
	}
	secrets, err := spake2.Stretch(credential.Reveal(), r.answer.Salt, r.answer.Iterations)
	return stretched{credential, string(r.answer.Salt), r.answer.Iterations, secrets}, err
}

// errRefused is the failure of a device that refused a credential.
var errRefused = fmt.Errorf("%w: it refused the credential", home.ErrNotOpened)

// refusedError is a refusal, with the device's counter and the credential that was tried.
type refusedError struct {
	left    *int // wrong sign-ins before it locks; nil where it did not state that
	history history
	next    candidate
}

func (*refusedError) Error() string { return errRefused.Error() }
func (*refusedError) Unwrap() error { return errRefused }
