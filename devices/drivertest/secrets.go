package drivertest

import (
	"context"
	"errors"
	"fmt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// withoutTerms has a device probed and moved, in every state, by way of a recorder, under terms that permit nothing: it
// is not bound, or it was reset and has no consent.
func withoutTerms(b *bench) error {
	for _, c := range []struct {
		held  home.State
		terms home.Terms
	}{
		{home.Stale, home.Terms{}},
		{home.Blank, home.Terms{}},
		{home.ForeignHeld, home.Terms{}},
		{home.Blank, home.Terms{Bound: true}},
		{home.ForeignHeld, home.Terms{Bound: true}},
	} {
		b.devices[0].Hold(c.held)
		r, err := b.recorded(c.terms)
		if r.moved == nil {
			err = errors.Join(err, errors.New("rekeyed under terms that permit nothing"))
		}
		if err = errors.Join(err, r.disclosed(b.c)); err != nil {
			return fmt.Errorf("%s, terms %+v: %w", c.held, c.terms, err)
		}
		if err := b.hold(0, c.held); err != nil {
			return err
		}
	}
	return nil
}

// withTerms checks that the record of withoutTerms would show a secret: the password of a move that is permitted stands
// in it, or, of a driver that sends none, the request by which a device joins the account.
func withTerms(b *bench) error {
	r, err := b.recorded(b.c.Terms)
	switch {
	case err != nil:
		return err
	case r.moved != nil:
		return fmt.Errorf("rekey: %w", r.moved)
	case b.without && !r.contains([]byte(b.c.Account.ID)):
		return errors.New("no request of the move was recorded")
	case !b.without && r.disclosed(home.Candidates{Credentials: b.c.Credentials}) == nil:
		return errors.New("the password of the move was not recorded: does the device hand over what it decrypts?")
	}
	return nil
}

// recorded probes and moves the first device by way of a recorder.
func (b *bench) recorded(t home.Terms) (*recorder, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	d := b.devices[0].Seen()
	r, addr, stop, err := record(d)
	if err != nil {
		return nil, err
	}
	if o, ok := b.devices[0].(Opener); ok {
		o.Opened(r.open)
		defer o.Opened(nil)
	}
	d.Addr = addr
	candidates, move := b.c, b.move()
	candidates.Terms, move.Terms = t, t
	if _, err = b.Probe(ctx, d, candidates); err != nil {
		err = fmt.Errorf("probe: %w", err)
	}
	r.moved = b.Rekey(ctx, d, move)
	stop()
	return r, errors.Join(err, r.spoken())
}
