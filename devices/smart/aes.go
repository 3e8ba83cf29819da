package smart

import (
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/passthrough"
	"github.com/rekeyd/rekeyd/devices/post"
)

// AESOptions are the options of NewAES.
type AESOptions struct {
	Budget  keyring.Budget // required
	Memory  keyring.Memory // of refused credentials; the driver's own, until the process ends, when nil
	Timeout time.Duration  // for one request and its answer; 5 s when zero
	Dial    post.Dial      // used instead of TCP, where given
	// Wrong is how many sign-ins a device receives in a day before one is right; 6 when zero. Such devices do not report
	// how many they have counted, and whether they lock is not known: cameras do after ten.
	Wrong int
}

const defaultWrong = 6

// AES is the driver for SMART devices of before KLAP. They prove nothing: the driver learns the password of a device by
// sending one after the other, and any host can have its address. So it sends none without the owner's consent
// (home.CleartextConsent), nor to a device that states another owner. It is safe for use by several goroutines.
type AES struct {
	o     AESOptions
	key   func() (*rsa.PrivateKey, error) // made once, for the first conversation
	memos keyring.Memos[memo]
}

// NewAES checks o.
func NewAES(o AESOptions) (*AES, error) {
	var errs []error
	if o.Budget == nil {
		errs = append(errs, errors.New("smart: budget is required"))
	}
	if o.Timeout < 0 || o.Wrong < 0 {
		errs = append(errs, errors.New("smart: timeout and wrong sign-ins are not negative"))
	}
	o.Wrong = cmp.Or(o.Wrong, defaultWrong)
	if o.Memory == nil {
		o.Memory = &keyring.Transient{}
	}
	return &AES{o: o, key: sync.OnceValues(passthrough.NewKey)}, errors.Join(errs...)
}

// Probe finds which credential the device holds. It returns home.ErrBudget where that would cost a sign-in that is not
// to be spent now.
func (d *AES) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: dev}
	conn, err := d.signIn(ctx, dev, c.Account, c.Terms, likeliest(keyring.Candidates(c), dev, c))
	if err != nil {
		return failure.Finding(ctx, f, err)
	}
	defer conn.close()
	plate, err := identify(ctx, conn, dev)
	if err != nil {
		return failure.Finding(ctx, f, err)
	}
	f.Device = plate.Describe(dev)
	f.Match, f.Verdict = verdict(conn.key)
	return f, nil
}

// likeliest moves to the front what the device probably holds, since each sign-in is counted: a credential whose user
// name hashes to the owner that the device states, the one of the epoch that it was last seen to hold, the factory's
// where it states no owner, and that before all where the owner has named a device as reset that held another.
func likeliest(keys []keyring.Key, dev home.Device, c home.Candidates) []keyring.Key {
	unbound := dev.Claims(c.Account.Email) == home.Unbound
	order := func(k keyring.Key) (rank int) {
		s, owner := k.Verdict.State, home.OwnerOf(k.Username) == dev.Owner
		if owner {
			rank -= 2
		}
		recorded := c.Recorded != 0 && k.Verdict.Epoch == c.Recorded && (s != home.WrongCase || owner)
		if recorded || unbound && (s == home.Default || s == home.Blank) {
			rank--
		}
		if c.Terms.Fresh && c.Recorded != 0 && (s == home.Default || s == home.Blank) {
			rank -= 3
		}
		return rank
	}
	slices.SortStableFunc(keys, func(a, b keyring.Key) int { return order(a) - order(b) })
	return keys
}

// Rekey gives the device the new credential (set_qs_info). The move is done once a sign-in with the new one has
// succeeded.
func (d *AES) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	return failure.Rekey(dev.ID, d.rekey(ctx, dev, m))
}

// rekey signs in with the old credential, sets the new one, and signs in with the new one.
func (d *AES) rekey(ctx context.Context, dev home.Device, m home.Move) error {
	if m.To.Password.IsZero() {
		return failure.ErrNoPassword
	}
	conn, err := d.signIn(ctx, dev, m.Account, m.Terms, keyring.ForMove(m))
	if err != nil {
		return err
	}
	defer conn.close()
	if _, err := identify(ctx, conn, dev); err != nil {
		return err
	}
	if conn.key.Username == m.To.Username && conn.key.Password.Equal(m.To.Password) {
		return nil
	}
	r := conn.recipient(conn.key.Verdict.State)
	code, err := setAccount(ctx, conn, r, m.To)
	if err != nil && !errors.Is(err, home.ErrUnreachable) && !errors.Is(err, passthrough.ErrWrong) {
		return err
	}
	err = conn.renew(ctx, keyring.Key{Username: m.To.Username, Password: m.To.Password})
	if errors.Is(err, passthrough.ErrWrong) {
		return fmt.Errorf("set_qs_info: code %d, and it does not hold the new one: %w", code, home.ErrRefused)
	}
	return err
}

// Relay passes an app's request on to the device: SMART commands, as its own app sends them.
func (d *AES) Relay(ctx context.Context, dev home.Device, c home.Candidates, request []byte) ([]byte, error) {
	conn, err := d.signIn(ctx, dev, c.Account, c.Terms, likeliest(keyring.Candidates(c), dev, c))
	if err != nil {
		return nil, err
	}
	defer conn.close()
	if _, err := identify(ctx, conn, dev); err != nil {
		return nil, err
	}
	return conn.Exchange(ctx, request)
}
