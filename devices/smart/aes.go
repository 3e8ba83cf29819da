package smart

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/passthrough"
)

// AESOptions are what NewAES checks.
type AESOptions struct {
	Budget  keyring.Budget // needed
	Timeout time.Duration  // for one question and its answer; 5 s when zero
	// Wrong is how many sign-ins a device is given in a day before one is right; 6 when zero. Such devices do not tell how many they have
	// counted, and whether they lock is not known: cameras do after ten.
	Wrong int
}

const usualWrong = 6

// AES is the driver for SMART devices of before KLAP. They prove nothing: which password one holds is learned by telling it one after the
// other, and who has its address could be anybody. So nothing is told to it unless the owner has agreed (home.Account.CleartextBind), nor
// where it says that it is another account's. It is safe for use by several goroutines.
type AES struct {
	o   AESOptions
	key func() (*rsa.PrivateKey, error) // made once, when the first is needed

	mu    sync.Mutex // guards memos
	memos map[home.DeviceID]memo
}

// NewAES checks o.
func NewAES(o AESOptions) (*AES, error) {
	var errs []error
	if o.Budget == nil {
		errs = append(errs, errors.New("smart: budget is needed"))
	}
	if o.Timeout < 0 {
		errs = append(errs, errors.New("smart: timeout is not negative"))
	}
	if o.Wrong < 0 {
		errs = append(errs, errors.New("smart: wrong sign-ins are not negative"))
	}
	if o.Wrong == 0 {
		o.Wrong = usualWrong
	}
	return &AES{o: o, key: sync.OnceValues(passthrough.NewKey), memos: map[home.DeviceID]memo{}}, errors.Join(errs...)
}

// Probe finds which credential the device holds. It returns home.ErrBudget where that would cost a sign-in that is not to be spent now.
func (d *AES) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: dev}
	t, err := d.open(ctx, dev, c.Account, likeliest(keyring.Of(c), dev, c))
	if err == nil {
		defer t.close()
		var who identity
		if who, err = t.identify(ctx); err == nil {
			f.Device = who.describe(dev)
			f.Match, f.Verdict = meaning(t.key)
			return f, nil
		}
	}
	switch {
	case ctx.Err() != nil:
		return f, fmt.Errorf("probe: %w", ctx.Err())
	case errors.Is(err, home.ErrUnreachable), errors.Is(err, home.ErrNotOpened), errors.Is(err, errTrusting):
	case errors.Is(err, home.ErrForeign):
		f.Match = home.Foreign
	default: // the budget, or what went wrong on this side
		return f, fmt.Errorf("probe: %w", err)
	}
	f.Verdict = verdictOf(err)
	return f, nil
}

// likeliest puts first what the device was last seen to hold, or the factory's where it says that it is nobody's.
func likeliest(keys []keyring.Key, dev home.Device, c home.Candidates) []keyring.Key {
	first := func(k keyring.Key) int {
		s := k.Verdict.State
		unbound := s == home.Default || s == home.Blank
		if c.Recorded != 0 && k.Verdict.Epoch == c.Recorded && s != home.WrongCase || unbound && dev.Claims(c.Account.Email) == home.Unbound {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(keys, func(a, b keyring.Key) int { return first(a) - first(b) })
	return keys
}

// Rekey gives the device the new credential (set_qs_info), and believes that it has it once it has signed in with it anew.
func (d *AES) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	if m.To.Password.IsZero() {
		return untold(dev)
	}
	t, err := d.open(ctx, dev, m.Account, keyring.Opening(m))
	if err != nil {
		return told(dev, err)
	}
	defer t.close()
	if _, err := t.identify(ctx); err != nil {
		return told(dev, err)
	}
	if t.key.Username == m.To.Username && t.key.Password.Equal(m.To.Password) {
		return nil
	}
	code, err := change(ctx, t, m.To)
	if err != nil && !errors.Is(err, home.ErrUnreachable) && !errors.Is(err, passthrough.ErrWrong) {
		return told(dev, err)
	}
	err = t.anew(ctx, keyring.Key{Username: m.To.Username, Password: m.To.Password})
	if errors.Is(err, passthrough.ErrWrong) {
		return fmt.Errorf("set_qs_info: code %d, and it does not hold the new one: %w", code, home.ErrRefused)
	}
	return told(dev, err)
}

// Talk passes an app's request on to the device: SMART commands, as its own app speaks them.
func (d *AES) Talk(ctx context.Context, dev home.Device, c home.Candidates, request []byte) ([]byte, error) {
	t, err := d.open(ctx, dev, c.Account, likeliest(keyring.Of(c), dev, c))
	if err != nil {
		return nil, err
	}
	defer t.close()
	if _, err := t.identify(ctx); err != nil {
		return nil, err
	}
	return t.Ask(ctx, request)
}
