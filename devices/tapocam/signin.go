package tapocam

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/post"
)

// errRefused means that a camera has refused a password.
var errRefused = fmt.Errorf("%w: %w", home.ErrNotOpened, failure.ErrRejected)

// margin is how many wrong sign-ins are left to others: none is spent where the camera would lock after so many more.
const margin = 4

// conn is a conversation with one camera.
type conn struct {
	d       *Driver
	dev     home.Device
	account home.Account
	terms   home.Terms
	http    *post.Client
}

func (d *Driver) connect(dev home.Device, a home.Account, terms home.Terms) *conn {
	o := post.Options{TLS: true, Suites: post.CameraSuites(), Timeout: d.o.Timeout, Dial: d.o.Dial}
	return &conn{d: d, dev: dev, account: a, terms: terms, http: post.New(dev.Addr, o)}
}

// certificateKnown reports whether the certificate is the one that this camera had when it last identified itself.
func (c *conn) certificateKnown() bool {
	cert := c.http.Certificate()
	return cert != [sha256.Size]byte{} && c.d.memos.Of(c.dev.ID).cert == cert
}

// recordCertificate keeps the certificate of a camera that has identified itself.
func (c *conn) recordCertificate() {
	cert := c.http.Certificate()
	c.d.memos.Update(c.dev.ID, func(m *memo) { m.cert = cert })
}

// signedIn is the result of a sign-in: the password that the camera holds, and the session.
type signedIn struct {
	held
	device *deviceSession // nil where the camera has proved the password, and no sign-in was spent
	detail string         // of the verdict
}

func (s signedIn) verdict() (home.Match, home.Verdict) {
	v := s.key.Verdict
	v.Detail = s.detail
	if v.State == home.Default {
		return home.Unbound, v
	}
	return home.Ours, v
}

// signIn signs in with the key that the camera holds. Where that is the factory's, or none, and askTwice is set, it
// asks for a second proof: some cameras alternate between that and their own. With home.ErrBudget it returns the key
// that the camera has proved, if any. A camera that states another owner, and proves none of the keys or would have to
// receive one, is home.ErrForeign.
func (c *conn) signIn(ctx context.Context, keys []keyring.Key, askTwice bool) (signedIn, error) {
	foreign := c.dev.Claims(c.account.Email) == home.Foreign
	g, err := c.greet(ctx)
	switch {
	case err != nil:
		return signedIn{}, err
	case g.old && c.d.memos.Of(c.dev.ID).proves:
		return signedIn{}, failure.ErrProtocol // it asks for a hash, which the camera did not: it is another device
	case g.old && foreign:
		return signedIn{}, fmt.Errorf("it states another owner: %w", home.ErrForeign)
	case g.old:
		return c.tryAll(ctx, g, keys)
	}
	s := signedIn{}
	var ok bool
	s.held, ok = g.match(keys)
	if askTwice && (!ok || s.key.Verdict.State == home.Default) {
		if g2, err := c.greet(ctx); err == nil && !g2.old {
			if second, ok2 := g2.match(keys); ok2 && second.key.Verdict.State != home.Default {
				g, ok = g2, true
				s = signedIn{held: second, detail: "at times it holds another password: it goes back and forth"}
			}
		}
	}
	switch {
	case !ok && foreign:
		return signedIn{}, fmt.Errorf("it states another owner: %w", home.ErrForeign)
	case !ok:
		return signedIn{}, failure.ErrMismatch
	}
	c.d.memos.Update(c.dev.ID, func(m *memo) { m.proves = true })
	s.device, err = c.complete(ctx, g, s.held)
	return s, err
}

// login sends one sign-in request and reads the answer.
func (c *conn) login(ctx context.Context, params map[string]any, cnonce string) (greeting, error) {
	params["username"] = keyring.CameraUser
	raw, err := json.Marshal(map[string]any{"method": "login", "params": params})
	if err != nil {
		return greeting{}, errors.New("login: the request cannot be encoded")
	}
	a, err := c.http.Send(ctx, "/", header(), raw)
	if err != nil {
		return greeting{}, err
	}
	return parseGreeting(a, cnonce)
}

// header returns the headers of the vendor's app, as far as cameras need them.
func header() http.Header {
	return http.Header{
		"Content-Type": {"application/json; charset=UTF-8"}, "Requestbyapp": {"true"},
		"User-Agent": {"Tapo CameraClient Android"}, "Accept": {"application/json"},
	}
}

// greet begins a sign-in: the camera answers with a proof. It spends no sign-in.
func (c *conn) greet(ctx context.Context) (greeting, error) {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	cnonce := upperHex(b[:])
	g, err := c.login(ctx, map[string]any{"cnonce": cnonce, "encrypt_type": "3"}, cnonce)
	if err == nil && g.stok != "" {
		return g, failure.ErrProtocol // it opens a session without a password
	}
	return g, err
}

// counterTime is how long a camera that is near its lock is left alone: when it forgets wrong sign-ins is not known.
const counterTime = time.Hour

// spend counts a sign-in that only the camera can judge. It returns home.ErrBudget where none is
// to be tried now.
func (c *conn) spend(g greeting) error {
	if g.max > 0 && g.max-g.tries <= margin {
		reason := fmt.Sprintf("the camera locks after %d more that are wrong", max(g.max-g.tries, 0))
		return home.WaitError{Until: time.Now().Add(counterTime), Reason: reason}
	}
	return c.d.o.Budget.Spend(c.dev.ID)
}

// complete finishes a sign-in of which the camera has proved that it is right.
func (c *conn) complete(ctx context.Context, g greeting, h held) (*deviceSession, error) {
	if err := c.spend(g); err != nil {
		return nil, err
	}
	digest := map[string]any{"cnonce": g.cnonce, "encrypt_type": "3", "digest_passwd": g.digest(h.hash)}
	in, err := c.login(ctx, digest, g.cnonce)
	switch {
	case err != nil:
		return nil, err
	case in.stok == "":
		return nil, cmp.Or(c.d.o.Budget.Refused(c.dev.ID), errRefused)
	}
	if err := c.d.o.Budget.Good(c.dev.ID); err != nil {
		return nil, err
	}
	return &deviceSession{c: c, stok: in.stok, seq: in.seq, cipher: g.cipher(h.hash)}, nil
}

// tryAll tries one key after the other on firmware without proofs, and none twice in a day that it has refused.
func (c *conn) tryAll(ctx context.Context, g greeting, keys []keyring.Key) (signedIn, error) {
	if err := c.terms.Permit(home.Evidence{Rank: home.HashFirst}); err != nil {
		return signedIn{}, err
	}
	if g.max == 0 {
		return signedIn{}, failure.ErrUncounted // a restart forgets the attempts, and a camera may count for days
	}
	kept, err := c.kept()
	if err != nil {
		return signedIn{}, err
	}
	right := kept.Accepted
	for _, first := range []bool{true, false} {
		for _, k := range keys {
			if k.Password.Equal(right) != first {
				continue
			}
			s, err := c.try(ctx, &g, k)
			if !errors.Is(err, errRefused) {
				return s, err
			}
		}
	}
	return signedIn{}, failure.ErrMismatch
}

// try signs in the older way, with a hash, and keeps the camera's own count in g. It returns errRefused where the
// camera refuses it.
func (c *conn) try(ctx context.Context, g *greeting, k keyring.Key) (signedIn, error) {
	id := c.dev.ID
	kept, err := c.kept()
	switch {
	case err != nil:
		return signedIn{}, err
	case kept.Refuses(k.Password, time.Now()):
		return signedIn{}, errRefused
	}
	hash := hashOf(byMD5, k.Password)
	released, err := c.recipient(home.Evidence{Rank: home.HashFirst}).Release(hash)
	if err != nil {
		return signedIn{}, err
	}
	if err := c.spend(*g); err != nil {
		return signedIn{}, err
	}
	in, err := c.login(ctx, map[string]any{"hashed": true, "password": released}, "")
	switch {
	case err == nil && in.stok != "":
		s := signedIn{held: held{k, byMD5, hash}, device: &deviceSession{c: c, stok: in.stok}}
		return s, errors.Join(c.d.o.Budget.Good(id), c.d.o.Memory.SaveSignIns(id, kept.Accept(k.Password)))
	case err == nil || errors.Is(err, errRefused):
		if g.tries++; in.max > 0 {
			*g = in
		}
		now := time.Now().UTC().Round(0)
		err := errors.Join(c.d.o.Budget.Refused(id), c.d.o.Memory.SaveSignIns(id, kept.Refuse(k.Password, now)))
		return signedIn{}, cmp.Or(err, errRefused)
	}
	return signedIn{}, err
}

// recipient is the camera as the recipient of a secret, in a conversation of that rank.
func (c *conn) recipient(e home.Evidence) keyring.Recipient {
	return keyring.Recipient{Device: c.dev, Terms: c.terms, Evidence: e}
}

// kept returns the record of the sign-ins to the camera, for its hardware key and owner of now.
func (c *conn) kept() (home.SignIns, error) {
	kept, err := c.d.o.Memory.SignIns(c.dev.ID)
	return kept.For(c.dev), err
}
