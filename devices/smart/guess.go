package smart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/passthrough"
	"github.com/rekeyd/rekeyd/devices/post"
)

var errTrusting = errors.New("it asks for a password without proving who it is")

// login is one way to sign in.
type login struct {
	username string
	password home.Secret
	form     passthrough.Form
}

// memo is what a driver knows of a device until the daemon ends.
type memo struct {
	form  passthrough.Form // which it has understood, or which it must be since it does not understand the other; 0 for unknown
	right login            // which it has taken last
	wrong map[login]time.Time
	sent  []time.Time // logins since one was right, and not longer ago than wrongTime: also those that were not answered
}

// wrongTime is for how long a login is not tried again that a device did not take.
const wrongTime = 24 * time.Hour

func (d *AES) recall(id home.DeviceID) memo {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.memos[id]
}

func (d *AES) note(id home.DeviceID, f func(*memo)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.memos[id]
	f(&m)
	d.memos[id] = m
}

// failed notes that the device did not take l.
func (m *memo) failed(l login) {
	if m.right == l {
		*m = memo{form: m.form, sent: m.sent} // it has got another since: any may be right now
	}
	m.wrong = maps.Clone(m.wrong) // who has recalled it may read it now
	if m.wrong == nil {
		m.wrong = map[login]time.Time{}
	}
	m.wrong[l] = time.Now()
}

// lately returns those of the times that count still.
func lately(all []time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(all), func(at time.Time) bool { return time.Since(at) >= wrongTime })
}

// next returns what to try next: what was right last, then what was never tried, then what is long ago. Before it is known which form the
// device wants, all keys are tried in the likelier one first.
func (m memo) next(keys []keyring.Key, likely passthrough.Form) (keyring.Key, login, bool) {
	forms := []passthrough.Form{likely, likely.Other()}
	if m.form != 0 {
		forms = []passthrough.Form{m.form}
	}
	var best login
	var key keyring.Key
	for _, f := range forms {
		for _, k := range keys {
			l := login{k.Username, k.Password, f}
			at, tried := m.wrong[l]
			switch {
			case l == m.right:
				return k, l, true
			case tried && time.Since(at) < wrongTime:
			case best == login{}, at.Before(m.wrong[best]):
				best, key = l, k
			}
		}
	}
	return key, best, best != login{}
}

// likelyForm is the form that the device wants by what it said when it was found; that of most where it did not say.
func likelyForm(dev home.Device) passthrough.Form {
	var said struct {
		Scheme *struct {
			Level int `json:"lv"`
		} `json:"mgt_encrypt_schm"`
	}
	if json.Unmarshal([]byte(dev.Extra), &said) == nil && said.Scheme != nil && said.Scheme.Level != int(passthrough.Hashed) {
		return passthrough.Plain
	}
	return passthrough.Hashed
}

// trusting is a conversation with a device that proves nothing.
type trusting struct {
	d    *AES
	dev  home.Device
	line *passthrough.Line
	key  keyring.Key // with which it was signed in to
}

// close ends the conversation.
func (t *trusting) close() { t.line.Close() }

// open signs in with the key that the device takes. Errors are home.ErrUnreachable, ErrForeign, ErrNotOpened, ErrBudget, and errTrusting
// where nothing may be told to it.
func (d *AES) open(ctx context.Context, dev home.Device, a home.Account, keys []keyring.Key) (*trusting, error) {
	key, err := d.key()
	if err != nil {
		return nil, err
	}
	t := &trusting{d: d, dev: dev, line: passthrough.Open(dev.Addr, key, post.Options{Timeout: d.o.Timeout})}
	if err := t.guess(ctx, a, keys); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *trusting) guess(ctx context.Context, a home.Account, keys []keyring.Key) error {
	if err := t.line.Shake(ctx); err != nil { // it learns nothing by that
		return err
	}
	switch {
	case t.dev.Claims(a.Email) == home.Foreign:
		return fmt.Errorf("it says so itself: %w", home.ErrForeign)
	case !a.CleartextBind:
		return errTrusting
	}
	for {
		k, l, ok := t.d.recall(t.dev.ID).next(keys, likelyForm(t.dev))
		if !ok {
			return fmt.Errorf("%w: %w", home.ErrNotOpened, errNone)
		}
		err := t.try(ctx, k, l)
		if !errors.Is(err, home.ErrNotOpened) {
			return err
		}
		if err := t.line.Shake(ctx); err != nil { // some may end a session in which a wrong one was told
			return err
		}
	}
}

// try signs in, with what may be wrong. Every login is counted before it is sent.
func (t *trusting) try(ctx context.Context, k keyring.Key, l login) error {
	err := t.login(ctx, l)
	if errors.Is(err, passthrough.ErrEnded) {
		if err = t.line.Shake(ctx); err == nil {
			err = t.login(ctx, l)
		}
	} else if errors.Is(err, passthrough.ErrAgain) {
		err = t.login(ctx, l)
	}
	switch {
	case err == nil:
		t.key = k
		t.d.note(t.dev.ID, func(m *memo) { *m = memo{form: l.form, right: l} })
		return t.d.o.Budget.Good(t.dev.ID)
	case errors.Is(err, home.ErrNotOpened):
		t.d.note(t.dev.ID, func(m *memo) {
			m.failed(l)
			if errors.Is(err, passthrough.ErrForm) {
				m.form = l.form.Other()
			}
		})
	}
	return err
}

func (t *trusting) login(ctx context.Context, l login) error {
	id := t.dev.ID
	m := t.d.recall(id)
	if n := len(lately(m.sent)); n >= t.d.o.Wrong && l != m.right {
		return fmt.Errorf("%w: %d in a day, and none was right", home.ErrBudget, n)
	}
	if err := t.d.o.Budget.Spend(id); err != nil {
		return err
	}
	t.d.note(id, func(m *memo) { m.sent = append(lately(m.sent), time.Now()) })
	return t.line.Login(ctx, l.form, l.username, l.password)
}

// anew signs in with one key, in a session of its own.
func (t *trusting) anew(ctx context.Context, k keyring.Key) error {
	if err := t.line.Shake(ctx); err != nil {
		return err
	}
	return t.try(ctx, k, login{k.Username, k.Password, t.d.recall(t.dev.ID).form})
}

// Ask is asker's. Where the session has ended it signs in anew, once, with what was right before.
func (t *trusting) Ask(ctx context.Context, request []byte) ([]byte, error) {
	raw, err := t.line.Ask(ctx, request)
	if !errors.Is(err, passthrough.ErrEnded) {
		return raw, err
	}
	if err := t.anew(ctx, t.key); err != nil {
		return nil, err
	}
	return t.line.Ask(ctx, request)
}

// identify learns who answers.
func (t *trusting) identify(ctx context.Context) (identity, error) {
	who, err := askIdentity(ctx, t)
	if err == nil && !who.is(t.dev) {
		err = fmt.Errorf("%w: %w", home.ErrUnreachable, errAnother)
	}
	return who, err
}
