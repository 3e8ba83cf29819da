// Package smart has the drivers for devices that take SMART commands: Tapo plugs, switches and bulbs, and newer Kasa
// ones. Driver is for those over KLAP version 2, AES for the older ones. Facts and sources: devices/PROTOCOLS.md,
// sections 7 to 9. Neither was ever tried on a device.
//
// A device over KLAP proves what it holds before it receives anything secret: its first answer is compared with every
// credential of the vault, by both versions' formulas, without a sign-in. Where one matches, Driver signs in to
// identify the device: a credential proves an account, not a device.
package smart

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/klap"
	"github.com/rekeyd/rekeyd/devices/nameplate"
	"github.com/rekeyd/rekeyd/devices/post"
)

// Options are the options of New. The zero Options serve.
type Options struct {
	Timeout time.Duration // for one request and its answer; 5 s when zero
	Dial    post.Dial     // used instead of TCP, where given
}

// Driver speaks to devices over KLAP. It is safe for use by several goroutines.
type Driver struct {
	o       Options
	located keyring.Memos[location]
}

// location is where a device was when it last identified itself.
type location struct {
	addr  netip.AddrPort
	at    time.Time
	plate nameplate.Plate
}

// locationTime is how long a device is taken to be at its location: a probe within that time is one request and one
// answer.
const locationTime = 10 * time.Minute

// New checks o.
func New(o Options) (*Driver, error) {
	if o.Timeout < 0 {
		return nil, errors.New("smart: timeout is not negative")
	}
	return &Driver{o: o}, nil
}

func (d *Driver) connect(dev home.Device) *klap.Conn {
	return klap.New(dev.Addr, post.Options{Timeout: d.o.Timeout, Dial: d.o.Dial})
}

// Probe finds which credential the device holds.
func (d *Driver) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: dev}
	conn := d.connect(dev)
	defer conn.Close()
	p, held, err := prove(ctx, conn, dev, c.Account, keyring.Candidates(c))
	if err != nil {
		return failure.Finding(ctx, f, err)
	}
	plate, err := d.locate(ctx, conn, p, held, dev, locationTime)
	if err != nil {
		return failure.Finding(ctx, f, err)
	}
	f.Device = plate.Describe(dev)
	f.Match, f.Verdict = verdict(held.Key)
	return f, nil
}

// verdict derives match and verdict from the key that a device holds.
func verdict(k keyring.Key) (home.Match, home.Verdict) {
	m, v := home.Ours, k.Verdict
	switch v.State {
	case home.Default, home.Blank:
		m = home.Unbound
	case home.WrongCase:
		v.Detail = "it was set up with the account's e-mail address in other upper and lower case"
	}
	return m, v
}

// prove asks the device for a proof and returns the key that it holds. Where it holds none it returns home.ErrForeign
// for a device that states another owner, else failure.ErrMismatch.
func prove(
	ctx context.Context, conn *klap.Conn, dev home.Device, a home.Account, keys []keyring.Key,
) (klap.Proof, klap.Held, error) {
	p, err := conn.Handshake(ctx)
	if err != nil {
		return p, klap.Held{}, err
	}
	held, ok := p.Match(keys)
	switch {
	case !ok && dev.Claims(a.Email) == home.Foreign:
		err = fmt.Errorf("it states another owner: %w", home.ErrForeign)
	case !ok:
		err = fmt.Errorf("%w: %w", home.ErrNotOpened, failure.ErrMismatch)
	}
	return p, held, err
}

// locate returns the nameplate of the device: that of its location where it is not older than maxAge, or a new one by
// signing in.
func (d *Driver) locate(
	ctx context.Context, conn *klap.Conn, p klap.Proof, held klap.Held, dev home.Device, maxAge time.Duration,
) (nameplate.Plate, error) {
	l := d.located.Of(dev.ID)
	if l.addr == dev.Addr && time.Since(l.at) < maxAge {
		return l.plate, nil
	}
	if err := conn.SignIn(ctx, p, held); err != nil {
		return nameplate.Plate{}, err
	}
	plate, err := identify(ctx, conn, dev)
	if err != nil {
		return nameplate.Plate{}, err
	}
	d.located.Set(dev.ID, location{dev.Addr, time.Now(), plate})
	return plate, nil
}

// Relay passes an app's request on to the device: SMART commands, as its own app sends them.
func (d *Driver) Relay(ctx context.Context, dev home.Device, c home.Candidates, request []byte) ([]byte, error) {
	conn := d.connect(dev)
	defer conn.Close()
	p, held, err := prove(ctx, conn, dev, home.Account{}, keyring.Candidates(c))
	if err != nil {
		return nil, err
	}
	if err := c.Terms.Permit(home.Proved(held.Key.Verdict)); err != nil {
		return nil, err // the request may have a secret in it
	}
	if _, err := d.locate(ctx, conn, p, held, dev, 0); err != nil {
		return nil, err
	}
	return conn.Exchange(ctx, request)
}
