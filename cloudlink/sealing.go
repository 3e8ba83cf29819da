package cloudlink

import (
	"errors"
	"fmt"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// A member replaces its sealing key at each epoch and daily, so that a copy of its state that is older than the last
// change opens no later grant. The new key goes out in an acknowledgement, proven under the newest epoch's secret and a
// challenge that only the key before opens. The key before stays until the service has answered; until then the service
// may still seal to it.

// sealers returns the member's sealing keys, newest first.
func (l *Link) sealers() ([]home.SealingKey, []*wire.Sealer, error) {
	keys, err := l.o.Store.SealingKeys()
	if err != nil {
		return nil, nil, err
	}
	all := make([]*wire.Sealer, len(keys))
	for i, k := range keys {
		if all[i], err = wire.NewSealer([]byte(k.Seed.Reveal())); err != nil {
			return nil, nil, err
		}
	}
	return keys, all, nil
}

// SealKey returns the newest public sealing key of this member.
func (l *Link) SealKey() ([]byte, error) {
	_, all, err := l.sealers()
	if err != nil {
		return nil, err
	}
	return all[0].Public, nil
}

// Open opens a seal that was made to one of this member's sealing keys; it returns home.ErrForged.
func (l *Link) Open(info, sealed []byte) ([]byte, error) {
	_, all, err := l.sealers()
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		var plain []byte
		if plain, err = s.Open(info, sealed); err == nil {
			return plain, nil
		}
	}
	return nil, err
}

func (l *Link) openGrant(g *wire.Grant) (in wire.Granted, err error) {
	_, all, err := l.sealers()
	if err != nil {
		return in, err
	}
	for _, s := range all {
		if in, err = s.OpenGrant(l.o.Identity.Name, g); err == nil {
			return in, nil
		}
	}
	return in, err
}

// replaceOldKey queues an acknowledgement when the newest sealing key is older than KeyLife.
func (l *Link) replaceOldKey(now time.Time, a home.Account) error {
	keys, err := l.o.Store.SealingKeys()
	if err != nil || a.Epoch == 0 || now.Sub(keys[0].Made).Abs() < l.o.KeyLife {
		return err
	}
	return l.o.Store.Queue([]home.Errand{{Kind: home.ErrandAck, Epoch: a.Epoch, At: now.UTC().Round(0)}})
}

// sendAck acknowledges the newest grant and announces a new sealing key.
func (l *Link) sendAck(now time.Time, a home.Account, r *request, devices []string) error {
	if r.epoch < uint64(a.Epoch) {
		return l.answered(r, devices) // a newer one waits, too
	}
	l.mu.Lock()
	challenge := l.challenge
	l.mu.Unlock()
	if challenge == nil {
		l.rest(r, devices[0])
		l.askSoon()
		return nil
	}
	secret, err := l.epochSecret(a, a.Epoch)
	if err != nil {
		return err
	}
	keys, err := l.o.Store.SealingKeys()
	if err != nil {
		return err
	}
	if len(keys) == 1 { // else one was announced already, and its answer was lost
		next := home.SealingKey{Seed: home.SecretBytes(wire.NewSeed()), Made: now.UTC().Round(0), Epoch: a.Epoch}
		if err := l.o.Store.AddSealingKey(next); err != nil {
			return err
		}
		keys[0] = next
	}
	r.seal = keys[0].Seed
	sealer, err := wire.NewSealer([]byte(r.seal.Reveal()))
	if err != nil {
		return err
	}
	return l.start(now, r, func(id string) wire.Body {
		change := wire.KeyChange{
			Account: r.account, Member: l.o.Identity.Name, Epoch: r.epoch, Seal: sealer.Public, Message: id,
			EpochSecret: secret, Challenge: challenge,
		}
		return &wire.Ack{Account: r.account, Epoch: r.epoch, Seal: sealer.Public, Proof: change.Proof()}
	})
}

// acknowledged deletes the keys before the one that the service has just accepted. The next change needs a new
// challenge.
func (l *Link) acknowledged(r *request) error {
	l.mu.Lock()
	l.challenge = nil
	l.mu.Unlock()
	return l.o.Store.KeepSealingKey(r.seal)
}

// serviceOlder is the trouble of a hub whose account service presents an older notice than the hub's, or another of the
// same epoch. The hub shows it the newest one with every hello.
const serviceOlder = "the account service is older than this hub (restored from a backup?): run rekeyd login"

var errOlderState = errors.New("the account service uses a sealing key that this state does not have")

// welcome takes the answer to hello: the nonce for the next sign-in, and the challenge for the next sealing key.
func (l *Link) welcome(r *request, _ *wire.Message, b *wire.Welcome) error {
	a, err := l.o.Store.Account()
	if err != nil {
		return err
	}
	if b.Account != r.account {
		return home.ErrForged
	}
	if err := b.Notice.Verify(serviceKeys(a), r.account); err != nil {
		return err
	}
	challenge, err := l.openChallenge(b)
	if err != nil && !errors.Is(err, errOlderState) {
		return err
	}
	older := err != nil
	broken := b.Notice.Follows(a.NoticeEpoch, a.Notice)
	behind := errors.Is(broken, home.ErrOldEpoch) || errors.Is(broken, home.ErrForged)
	l.mu.Lock()
	l.nonce, l.challenge = b.Nonce, challenge
	l.halve(time.Now(), r.sent)
	switch {
	case behind:
		l.trouble = serviceOlder
		l.asked = time.Now().Add(time.Minute - l.o.AskEvery)
	case older && !l.o.Secret.IsZero(): // a native device needs no pairing
		l.unsealed = true
	case older:
		l.trouble = "this state is older than the hub's last key (from a backup?): run rekeyd login"
		l.asked = time.Now().Add(time.Minute - l.o.AskEvery)
	default:
		l.trouble = ""
	}
	for key := range l.deferred { // what waited for this answer
		if key.kind == home.ErrandAck && !older || key.kind == home.ErrandSignIn && l.deferred[key].n <= 1 {
			delete(l.deferred, key)
		}
	}
	l.mu.Unlock()
	switch {
	case behind:
		l.distrust("a notice", broken)
	case older:
		l.o.Log.Error("grants cannot be opened", "err", errOlderState)
	}
	l.recordDown()
	if l.o.Sharing != nil && b.Shared {
		if err := l.share(a.ID, true); err != nil {
			return err
		}
	}
	switch {
	case uint64(a.Epoch) >= b.Epoch:
		l.settle(nil) // enrolled again, and no grant was missed
	case !older:
		l.askWithin(min(2*time.Second, l.o.Patience)) // a grant was lost
	}
	l.finish(r)
	return nil
}

// openChallenge opens the challenge with the key that the service uses. Where that is the newest, the keys before it
// are deleted.
func (l *Link) openChallenge(b *wire.Welcome) ([]byte, error) {
	keys, all, err := l.sealers()
	if err != nil {
		return nil, err
	}
	for i, s := range all {
		if !wire.Equal(s.Public, b.Seal) {
			continue
		}
		if i == 0 && len(keys) > 1 {
			if err := l.o.Store.KeepSealingKey(keys[0].Seed); err != nil {
				return nil, err
			}
		}
		return s.Open(wire.ChallengeInfo(b.Account, l.o.Identity.Name), b.Challenge)
	}
	return nil, fmt.Errorf("welcome: %w", errOlderState)
}
