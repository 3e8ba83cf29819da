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
		if err := b.recorded(c.terms); err != nil {
			return fmt.Errorf("%s, terms %+v: %w", c.held, c.terms, err)
		}
		if err := b.hold(0, c.held); err != nil {
			return err
		}
	}
	return nil
}

// recorded probes and moves the first device by way of a recorder, and searches what it recorded.
func (b *bench) recorded(t home.Terms) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	d := b.devices[0].Seen()
	r, addr, stop, err := record(d)
	if err != nil {
		return err
	}
	d.Addr = addr
	candidates, move := b.c, b.move()
	candidates.Terms, move.Terms = t, t
	_, perr := b.Probe(ctx, d, candidates)
	rerr := b.Rekey(ctx, d, move)
	stop()
	if rerr == nil {
		err = errors.New("rekeyed under terms that permit nothing")
	}
	if perr != nil {
		err = errors.Join(err, fmt.Errorf("probe: %w", perr))
	}
	return errors.Join(err, r.disclosed(b.c), r.spoken())
}
