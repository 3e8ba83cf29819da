package smart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/passthrough"
	"github.com/rekeyd/rekeyd/devices/post"
)

// login is one way to sign in.
type login struct {
	username string
	password home.Secret
	form     passthrough.Form
}

// memo is the memory of a driver about one device until the daemon ends.
type memo struct {
	form passthrough.Form // the one that the device understands; 0 while that is not known
	sent []time.Time      // sign-ins within wrongTime since one was right, those without an answer included
}

// wrongTime is how long a sign-in that a device has refused is not tried again.
const wrongTime = 24 * time.Hour

// credential is l as the memory keeps it.
func (l login) credential() home.Secret {
	return home.NewSecret(fmt.Sprintf("%d\x00%s\x00%s", l.form, l.username, l.password.Reveal()))
}

// recent returns those of the times that are within wrongTime.
func recent(all []time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(all), func(at time.Time) bool { return time.Since(at) >= wrongTime })
}

// next returns the next sign-in to try: the last right one, then one that was never tried, then the one that was tried
// longest ago. While the form is not known, all keys are tried in the likelier one first.
func (m memo) next(kept home.SignIns, keys []keyring.Key, likely passthrough.Form) (keyring.Key, login, bool) {
	forms := []passthrough.Form{likely, likely.Other()}
	if m.form != 0 {
		forms = []passthrough.Form{m.form}
	}
	var best login
	var oldest time.Time
	var key keyring.Key
	for _, f := range forms {
		for _, k := range keys {
			l := login{k.Username, k.Password, f}
			at, _ := kept.RefusedAt(l.credential())
			switch {
			case kept.Accepted.Equal(l.credential()):
				return k, l, true
			case kept.Refuses(l.credential(), time.Now()):
			case best == login{}, at.Before(oldest):
				best, key, oldest = l, k, at
			}
		}
	}
	return key, best, best != login{}
}

// likelyForm returns the form that the device announced in discovery; the form of most devices where it announced none.
func likelyForm(dev home.Device) passthrough.Form {
	var extra struct {
		Scheme *struct {
			Level int `json:"lv"`
		} `json:"mgt_encrypt_schm"`
	}
	err := json.Unmarshal([]byte(dev.Extra), &extra)
	if err == nil && extra.Scheme != nil && extra.Scheme.Level != int(passthrough.Hashed) {
		return passthrough.Plain
	}
	return passthrough.Hashed
}

// aesConn is a conversation with a device that proves nothing.
type aesConn struct {
	*passthrough.Conn
	d       *AES
	dev     home.Device
	account home.Account
	terms   home.Terms
	key     keyring.Key // of the last sign-in
}

// recipient is the device, which proves nothing: it accepted a sign-in with the credential of that verdict, or none.
func (c *aesConn) recipient(accepted home.State) keyring.Recipient {
	e := home.Evidence{Rank: home.ToldFirst, Held: accepted}
	return keyring.Recipient{Device: c.dev, Terms: c.terms, Evidence: e}
}

func (c *aesConn) close() { c.Close() }

// signIn begins a conversation and signs in with the key that the device accepts. Errors are home.ErrUnreachable,
// ErrForeign, ErrNotOpened, ErrBudget, and those of home.Terms.Permit.
func (d *AES) signIn(
	ctx context.Context, dev home.Device, a home.Account, terms home.Terms, keys []keyring.Key,
) (*aesConn, error) {
	key, err := d.key()
	if err != nil {
		return nil, err
	}
	conn := passthrough.New(dev.Addr, key, post.Options{Timeout: d.o.Timeout, Dial: d.o.Dial})
	c := &aesConn{Conn: conn, d: d, dev: dev, account: a, terms: terms}
	if err := c.tryAll(ctx, keys); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// tryAll tries the keys one after the other until one is accepted. A device that states another owner receives none.
// Each attempt costs a counted sign-in.
func (c *aesConn) tryAll(ctx context.Context, keys []keyring.Key) error {
	if err := c.Handshake(ctx); err != nil { // it discloses nothing
		return err
	}
	if c.dev.Claims(c.account.Email) == home.Foreign {
		return fmt.Errorf("it states another owner: %w", home.ErrForeign)
	}
	for range 2*len(keys) + 1 { // each in two forms
		kept, err := c.kept()
		if err != nil {
			return err
		}
		k, l, ok := c.d.memos.Of(c.dev.ID).next(kept, keys, likelyForm(c.dev))
		if !ok {
			return fmt.Errorf("%w: %w", home.ErrNotOpened, failure.ErrMismatch)
		}
		if err := c.try(ctx, k, l); !errors.Is(err, home.ErrNotOpened) {
			return err
		}
		if err := c.Handshake(ctx); err != nil { // some devices may end the session after a wrong sign-in
			return err
		}
	}
	return fmt.Errorf("%w: %w", home.ErrNotOpened, failure.ErrMismatch)
}

// try signs in with a credential that may be wrong, and records the result.
func (c *aesConn) try(ctx context.Context, k keyring.Key, l login) error {
	err := c.login(ctx, l)
	if errors.Is(err, passthrough.ErrEnded) {
		if err = c.Handshake(ctx); err == nil {
			err = c.login(ctx, l)
		}
	} else if errors.Is(err, failure.ErrTryLater) {
		err = c.login(ctx, l)
	}
	switch {
	case err == nil:
		c.key = k
		c.d.memos.Update(c.dev.ID, func(m *memo) { *m = memo{form: l.form} })
		kept, err := c.kept()
		return errors.Join(
			err, c.d.o.Budget.Good(c.dev.ID), c.d.o.Memory.SaveSignIns(c.dev.ID, kept.Accept(l.credential())),
		)
	case errors.Is(err, home.ErrNotOpened):
		c.d.memos.Update(c.dev.ID, func(m *memo) {
			if errors.Is(err, passthrough.ErrForm) {
				m.form = l.form.Other()
			}
		})
		kept, kerr := c.kept()
		kept = kept.Refuse(l.credential(), time.Now().UTC().Round(0))
		kerr = errors.Join(kerr, c.d.o.Budget.Refused(c.dev.ID), c.d.o.Memory.SaveSignIns(c.dev.ID, kept))
		if kerr != nil {
			return kerr
		}
	}
	return err
}

// kept returns the record of the sign-ins to the device, for its hardware key and owner of now.
func (c *aesConn) kept() (home.SignIns, error) {
	kept, err := c.d.o.Memory.SignIns(c.dev.ID)
	return kept.For(c.dev), err
}

// login sends one sign-in. It is counted before it is sent.
func (c *aesConn) login(ctx context.Context, l login) error {
	id := c.dev.ID
	password, err := c.recipient("").Release(l.password)
	if err != nil {
		return err
	}
	kept, err := c.kept()
	if err != nil {
		return err
	}
	if sent := recent(c.d.memos.Of(id).sent); len(sent) >= c.d.o.Wrong && !kept.Accepted.Equal(l.credential()) {
		until := sent[len(sent)-c.d.o.Wrong].Add(wrongTime)
		return home.WaitError{Until: until, Reason: fmt.Sprintf("%d were sent in a day, and none was right", len(sent))}
	}
	if err := c.d.o.Budget.Spend(id); err != nil {
		return err
	}
	c.d.memos.Update(id, func(m *memo) { m.sent = append(recent(m.sent), time.Now()) })
	return c.Login(ctx, l.form, l.username, password)
}

// renew signs in with one key, in a session of its own.
func (c *aesConn) renew(ctx context.Context, k keyring.Key) error {
	if err := c.Handshake(ctx); err != nil {
		return err
	}
	return c.try(ctx, k, login{k.Username, k.Password, c.d.memos.Of(c.dev.ID).form})
}

// Exchange implements exchanger. Where the session has ended it signs in again, once, with the last right key.
func (c *aesConn) Exchange(ctx context.Context, request []byte) ([]byte, error) {
	raw, err := c.Conn.Exchange(ctx, request)
	if !errors.Is(err, passthrough.ErrEnded) {
		return raw, err
	}
	if err := c.renew(ctx, c.key); err != nil {
		return nil, err
	}
	return c.Conn.Exchange(ctx, request)
}
