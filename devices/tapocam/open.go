package tapocam

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/post"
)

// What opening a camera can come to, beside what it says itself.
var (
	errNone  = errors.New("it holds none of the passwords")
	errOlder = errors.New("its firmware proves nothing")
	errBlind = errors.New("it does not tell how many wrong sign-ins it has counted")
)

// margin is how many wrong sign-ins are left to others: where the camera would lock after so many more, none is spent.
const margin = 4

// suites are what python-kasa offers to cameras, as far as Go has them; RSA key exchange is among them, which Go offers only where it
// is asked for.
func suites() []uint16 { return post.CameraSuites() }

// talk is a conversation with one camera.
type talk struct {
	d    *Driver
	dev  home.Device
	line *post.Client
}

func (d *Driver) talk(dev home.Device) *talk {
	return &talk{d: d, dev: dev, line: post.New(dev.Addr, post.Options{TLS: true, Suites: suites(), Timeout: d.o.Timeout})}
}

// familiar tells whether what answers has the certificate that this camera had when it last said who it is.
func (t *talk) familiar() bool {
	cert := t.line.Certificate()
	return cert != [sha256.Size]byte{} && t.d.recall(t.dev.ID).cert == cert
}

// acquaint keeps the certificate of a camera that has said who it is.
func (t *talk) acquaint() {
	cert := t.line.Certificate()
	t.d.note(t.dev.ID, func(m *memo) { m.cert = cert })
}

// entry is a camera that was opened, or that has proven what it holds.
type entry struct {
	held
	session *session // nil where it was not signed in to
	aside   string   // what else there is to say
}

func (e entry) verdict() (home.Match, home.Verdict) {
	v := e.key.Verdict
	v.Detail = e.aside
	if v.State == home.Default {
		return home.Unbound, v
	}
	return home.Ours, v
}

// open signs in with the key that the camera holds. Where that is the maker's, and again is set, the camera is asked once more: some hold
// that, and their own, by turns. With home.ErrBudget it returns what the camera has proven to hold, if anything. A camera that proves none of
// the keys, or that would have to be told one, is home.ErrForeign where it says that it is another account's.
func (t *talk) open(ctx context.Context, a home.Account, keys []keyring.Key, again bool) (entry, error) {
	foreign := t.dev.Claims(a.Email) == home.Foreign
	g, err := t.greet(ctx)
	switch {
	case err != nil:
		return entry{}, err
	case g.old && t.d.recall(t.dev.ID).proves:
		return entry{}, errAnswer // what stands there now would like to be told what the camera was not
	case g.old && foreign:
		return entry{}, home.ErrForeign
	case g.old && !a.CleartextBind:
		return entry{}, errOlder
	case g.old:
		return t.guess(ctx, g, keys)
	}
	h, ok := g.match(keys)
	var aside string
	if again && (!ok || h.key.Verdict.State == home.Default) {
		if g2, err := t.greet(ctx); err == nil && !g2.old {
			if h2, ok2 := g2.match(keys); ok2 && h2.key.Verdict.State != home.Default {
				g, h, ok, aside = g2, h2, true, "at times it holds another password: it goes back and forth"
			}
		}
	}
	switch {
	case !ok && foreign:
		return entry{}, home.ErrForeign
	case !ok:
		return entry{}, errNone
	}
	t.d.note(t.dev.ID, func(m *memo) { m.proves = true })
	e := entry{held: h, aside: aside}
	e.session, err = t.enter(ctx, g, h)
	return e, err
}

// login sends one login and reads what comes.
func (t *talk) login(ctx context.Context, params map[string]any, cnonce string) (greeting, error) {
	params["username"] = "admin"
	raw, err := json.Marshal(map[string]any{"method": "login", "params": params})
	if err != nil {
		return greeting{}, errAnswer
	}
	a, err := t.line.Send(ctx, "/", header(), raw)
	if err != nil {
		return greeting{}, err
	}
	return parseGreeting(a, cnonce)
}

// header is what the vendor's app sends, as far as cameras care.
func header() http.Header {
	return http.Header{
		"Content-Type": {"application/json; charset=UTF-8"}, "Requestbyapp": {"true"}, "User-Agent": {"Tapo CameraClient Android"},
		"Accept": {"application/json"},
	}
}

// greet begins a sign-in. It spends none.
func (t *talk) greet(ctx context.Context) (greeting, error) {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	cnonce := upperHex(b[:])
	g, err := t.login(ctx, map[string]any{"cnonce": cnonce, "encrypt_type": "3"}, cnonce)
	if err == nil && g.stok != "" {
		return g, errAnswer // it lets in whoever knows nothing
	}
	return g, err
}

// spend counts a sign-in of which the camera says whether it is right, unless that is not to be tried now.
func (t *talk) spend(g greeting) error {
	if g.max > 0 && g.max-g.tries <= margin {
		return fmt.Errorf("%w: the camera locks after %d more that are wrong", home.ErrBudget, max(g.max-g.tries, 0))
	}
	return t.d.o.Budget.Spend(t.dev.ID)
}

// enter finishes a sign-in of which the camera has proven that it is right.
func (t *talk) enter(ctx context.Context, g greeting, h held) (*session, error) {
	if err := t.spend(g); err != nil {
		return nil, err
	}
	in, err := t.login(ctx, map[string]any{"cnonce": g.cnonce, "encrypt_type": "3", "digest_passwd": g.digest(h.hash.Reveal())}, g.cnonce)
	switch {
	case err != nil:
		return nil, err
	case in.stok == "":
		return nil, errWrong
	}
	if err := t.d.o.Budget.Good(t.dev.ID); err != nil {
		return nil, err
	}
	lsk, ivb, tag := g.keys(h.hash.Reveal())
	return &session{t: t, stok: in.stok, seq: in.seq, seal: &seal{lsk, ivb, tag}}, nil
}

// guess tries one key after the other on firmware that proves nothing, and none twice in a day that it did not take.
func (t *talk) guess(ctx context.Context, g greeting, keys []keyring.Key) (entry, error) {
	if g.max == 0 {
		return entry{}, errBlind // a restart forgets what was tried, and a camera may count for days
	}
	right := t.d.recall(t.dev.ID).right
	for _, first := range []bool{true, false} {
		for _, k := range keys {
			if k.Password.Equal(right) != first {
				continue
			}
			e, err := t.try(ctx, &g, k)
			if !errors.Is(err, errWrong) {
				return e, err
			}
		}
	}
	return entry{}, errNone
}

// try tries a key in the older way, and keeps the camera's own count in g. It returns errWrong where the camera does not take it.
func (t *talk) try(ctx context.Context, g *greeting, k keyring.Key) (entry, error) {
	id := t.dev.ID
	if at, tried := t.d.recall(id).wrong[k.Password]; tried && time.Since(at) < wrongTime {
		return entry{}, errWrong
	}
	if err := t.spend(*g); err != nil {
		return entry{}, err
	}
	hash := upperMD5(k.Password.Reveal())
	in, err := t.login(ctx, map[string]any{"hashed": true, "password": hash}, "")
	switch {
	case err == nil && in.stok != "":
		t.d.note(id, func(m *memo) { m.right = k.Password })
		e := entry{held: held{k, byMD5, home.NewSecret(hash)}, session: &session{t: t, stok: in.stok}}
		return e, t.d.o.Budget.Good(id)
	case err == nil || errors.Is(err, errWrong):
		if g.tries++; in.max > 0 {
			*g = in
		}
		t.d.note(id, func(m *memo) {
			if m.right == k.Password {
				*m = memo{cert: m.cert} // it has got another since: any may be right now
			}
			if m.wrong == nil {
				m.wrong = map[home.Secret]time.Time{}
			} else {
				m.wrong = maps.Clone(m.wrong) // who has recalled it may read it now
			}
			m.wrong[k.Password] = time.Now()
		})
		return entry{}, errWrong
	}
	return entry{}, err
}
