package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// signInTime bounds one sign-in to the cloud.
const signInTime = 10 * time.Second

// signIn signs the device in to its cloud with a pair, as the real firmware does after each bind.
func (d *iot) signIn(ctx context.Context, username string, password home.Secret) error {
	if d.spec.has(Offline) {
		return fmt.Errorf("sign in to the cloud: %w", home.ErrUnavailable)
	}
	if d.cloud == nil {
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, signInTime)
	defer stop()
	if err := d.cloud.SignIn(ctx, username, password); err != nil {
		return fmt.Errorf("sign in to the cloud: %w", err)
	}
	return nil
}

// signedInDuring runs serve, and keeps the device signed in until it returns.
func (d *iot) signedInDuring(ctx context.Context, serve func(context.Context)) {
	ctx, stop := context.WithCancel(ctx)
	var signing sync.WaitGroup
	signing.Go(func() { d.keepSignedIn(ctx) })
	serve(ctx)
	stop()
	signing.Wait()
}

// keepSignedIn signs the device in when it was switched on, when it was bound, and again while its cloud cannot
// be reached.
func (d *iot) keepSignedIn(ctx context.Context) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 30*time.Second) {
		var retry <-chan time.Time
		if d.trySignIn(ctx) {
			pause = 50 * time.Millisecond
		} else {
			retry = time.After(pause)
		}
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
			pause = 50 * time.Millisecond
		case <-retry:
		}
	}
}

// trySignIn signs the device in where that is due. It returns false when it has to be tried again.
func (d *iot) trySignIn(ctx context.Context) bool {
	d.mu.Lock()
	a, due := d.account, !d.connected && d.account.username != "" && !d.busy
	d.mu.Unlock()
	if !due {
		return true
	}
	err := d.signIn(ctx, a.username, a.password)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.account.turn != a.turn:
		d.poke()
	case err == nil:
		d.account.bound, d.connected = true, true
	case errors.Is(err, home.ErrCredential):
		if !a.bound {
			d.account = account{turn: a.turn + 1}
		}
	default:
		d.log.Debug("device cannot reach its cloud", "err", err)
		return false
	}
	return true
}
