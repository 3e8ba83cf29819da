package drivertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// checks is never changed.
var checks = []check{
	{"a blank device takes the newest credential with its owner's consent", blank},
	{"a device that was reset receives nothing without its owner's consent", reset},
	{"a device that is not bound receives nothing", notOurs},
	{"what is sent to a device that may receive nothing has no secret in it", withoutTerms},
	{"what is sent to a device that may receive the password is recorded", withTerms},
	{"a stale device is found stale", func(b *bench) error { return b.found(0, home.Ours, home.Stale) }},
	{"a rekeyed device is found current", rekeyed},
	{"a rekey may run twice", twice},
	{"a foreign device is left alone", foreign},
	{"a device that is off is unreachable, and no error", off},
	{"another device at the address is not believed and not touched", impostor},
	{"a device that was never seen is unreachable", unseen},
	{"nothing happens once the context has ended", ended},
	{"a device that answers nothing is given up when the context ends", mute},
	{"many devices are moved at once", many},
	{"nonsense is not believed, and given up when the context ends", nonsense},
}

// The owner named a device that holds nothing (Terms.Fresh): it receives the newest credential, and holds it
// afterwards.
func blank(b *bench) error {
	b.devices[0].Hold(home.Blank)
	b.c.Recorded = 0
	if err := b.found(0, home.Unbound, home.Blank, home.Default); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), limit)
	defer stop()
	m := b.move()
	m.From = home.Credential{} // it holds nothing
	m.Terms.Fresh = true
	if err := b.Rekey(ctx, b.devices[0].Seen(), m); err != nil {
		return fmt.Errorf("rekey: %w", err)
	}
	return errors.Join(b.hold(0, home.Current), b.found(0, home.Ours, home.Current))
}

// A stranger can hold the factory credential, or none, under the hardware address of a bound device.
func reset(b *bench) error {
	b.devices[0].Hold(home.Blank)
	for _, from := range []home.Credential{{}, b.c.Credentials[1]} {
		m := b.move()
		m.From = from
		if err := b.withheld(m); err != nil {
			return err
		}
	}
	return b.hold(0, home.Blank)
}

func notOurs(b *bench) error {
	m := b.move()
	m.Terms = home.Terms{}
	return errors.Join(b.withheld(m), b.hold(0, home.Stale))
}

// withheld checks that a move of the first device fails.
func (b *bench) withheld(m home.Move) error {
	ctx, stop := context.WithTimeout(context.Background(), limit)
	defer stop()
	if err := b.Rekey(ctx, b.devices[0].Seen(), m); err == nil {
		return errors.New("rekeyed without its owner's consent")
	}
	return nil
}

// A move is complete when a probe has verified it, not when Rekey returns; the device beside it keeps what it held.
func rekeyed(b *bench) error {
	if err := b.rekey(0); err != nil {
		return fmt.Errorf("rekey: %w", err)
	}
	if err := errors.Join(b.hold(0, home.Current), b.hold(1, home.Stale),
		b.found(0, home.Ours, home.Current)); err != nil {
		return err
	}
	b.c.Recorded = b.c.Account.Epoch // the ledger has it now
	return b.found(0, home.Ours, home.Current)
}

func twice(b *bench) error {
	for range 2 {
		if err := b.rekey(0); err != nil {
			return fmt.Errorf("rekey: %w", err)
		}
	}
	return errors.Join(b.hold(0, home.Current), b.found(0, home.Ours, home.Current))
}

// A device of another owner is found as such, and a move of it is refused. With a silent protocol it proves nothing of
// ours instead.
func foreign(b *bench) error {
	match, state, want := home.Foreign, home.ForeignHeld, home.ErrForeign
	if b.silent {
		match, state, want = home.Unknown, home.Mismatch, home.ErrNotOpened
	}
	b.devices[0].Hold(home.ForeignHeld)
	if err := b.found(0, match, state); err != nil {
		return err
	}
	if err := b.rekey(0); !errors.Is(err, want) {
		return fmt.Errorf("rekey: got %w, want: %w", cause(err), want)
	}
	return b.hold(0, home.ForeignHeld)
}

// A device without power is unreachable, which is a verdict and no error of the driver.
func off(b *bench) error {
	b.devices[0].PowerOff()
	f, err := b.probe(0)
	if err != nil || f.Verdict.State != home.Unreachable {
		return fmt.Errorf("found %s, %w; want %s and no error", f.Verdict.State, cause(err), home.Unreachable)
	}
	if err := b.rekey(0); !errors.Is(err, home.ErrUnreachable) {
		return fmt.Errorf("rekey: got %w, want: %w", cause(err), home.ErrUnreachable)
	}
	if err := b.devices[0].PowerOn(); err != nil {
		return err
	}
	return errors.Join(b.hold(0, home.Stale), b.found(0, home.Ours, home.Stale))
}

// Another device answers at the address. It is never taken for the one that was meant, whatever it holds.
func impostor(b *bench) error {
	d := b.devices[0].Seen()
	d.Addr = b.devices[1].Seen().Addr
	ctx, stop := context.WithTimeout(context.Background(), limit)
	defer stop()
	f, err := b.Probe(ctx, d, b.c)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	switch f.Verdict.State {
	case home.Mismatch, home.Unreachable:
	default:
		return fmt.Errorf("found %s, want %s or %s", f.Verdict.State, home.Mismatch, home.Unreachable)
	}
	if f.Match == home.Ours {
		return errors.New("another device's word is taken for this one's")
	}
	if err := b.Rekey(ctx, d, b.move()); err == nil {
		return errors.New("rekey of another device at the address: no error")
	}
	return errors.Join(b.hold(0, home.Stale), b.hold(1, home.Stale))
}

// A device that was never sighted has no address. The driver must not dial an empty one.
func unseen(b *bench) error {
	d := home.Device{ID: b.devices[0].Seen().ID, Protocol: b.devices[0].Seen().Protocol, Keys: b.devices[0].Seen().Keys}
	f, err := b.Probe(context.Background(), d, b.c)
	if err != nil || f.Verdict.State != home.Unreachable {
		return fmt.Errorf("found %s, %w; want %s and no error", f.Verdict.State, cause(err), home.Unreachable)
	}
	if err := b.Rekey(context.Background(), d, b.move()); !errors.Is(err, home.ErrUnreachable) {
		return fmt.Errorf("rekey: got %w, want: %w", cause(err), home.ErrUnreachable)
	}
	return nil
}

// patience is how long a call may go on after its context has ended, on a machine that is busy.
const patience = 4 * time.Second

// A context that has ended stops a driver at once, before anything is sent.
func ended(b *bench) error {
	ctx, stop := context.WithCancel(context.Background())
	stop()
	start := time.Now()
	if f, err := b.Probe(ctx, b.devices[0].Seen(), b.c); err == nil && f.Verdict.State != home.Unreachable {
		return fmt.Errorf("found %s with a context that has ended", f.Verdict.State)
	}
	if err := b.Rekey(ctx, b.devices[0].Seen(), b.move()); err == nil {
		return errors.New("rekey with a context that has ended: no error")
	}
	if d := time.Since(start); d > patience {
		return fmt.Errorf("it took %v to notice that the context has ended", d)
	}
	return b.hold(0, home.Stale)
}

func mute(b *bench) error {
	return b.stranger(func(net.Conn) {})
}

// What answers with garbage without end costs bounded memory, and time until the context ends.
func nonsense(b *bench) error {
	return b.stranger(func(c net.Conn) {
		for {
			if _, err := c.Write(bytes.Repeat([]byte{'{', 0xff, 0, 'x'}, 1<<10)); err != nil {
				return
			}
		}
	})
}

// stranger puts something else at the first device's address, and checks that the driver is neither taken in nor held
// up.
func (b *bench) stranger(serve func(net.Conn)) error {
	addr, stop, err := listen(serve)
	if err != nil {
		return err
	}
	defer stop()
	d := b.devices[0].Seen()
	d.Addr = addr
	call := func(f func(context.Context)) error {
		ctx, stop := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer stop()
		start := time.Now()
		f(ctx)
		if d := time.Since(start); d > patience {
			return fmt.Errorf("it held on for %v after its context", d)
		}
		return nil
	}
	var found home.Finding
	var perr, rerr error
	err = errors.Join(
		call(func(ctx context.Context) { found, perr = b.Probe(ctx, d, b.c) }),
		call(func(ctx context.Context) { rerr = b.Rekey(ctx, d, b.move()) }),
	)
	if s := found.Verdict.State; perr == nil && s != home.Unreachable && s != home.Mismatch {
		err = errors.Join(err, fmt.Errorf("found %s where there is no device", s))
	}
	if perr == nil && found.Match == home.Ours {
		err = errors.Join(err, errors.New("found ours where there is no device"))
	}
	if rerr == nil {
		err = errors.Join(err, errors.New("rekeyed where there is no device"))
	}
	return errors.Join(err, b.hold(0, home.Stale))
}

// One driver serves many devices at once.
func many(b *bench) error {
	errs := make([]error, len(b.devices))
	var all sync.WaitGroup
	for i := range b.devices {
		all.Go(func() {
			if errs[i] = b.rekey(i); errs[i] == nil {
				errs[i] = errors.Join(b.hold(i, home.Current), b.found(i, home.Ours, home.Current))
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

var errNone = errors.New("no error")

// cause makes an error of none, for a message.
func cause(err error) error {
	if err == nil {
		return errNone
	}
	return err
}
