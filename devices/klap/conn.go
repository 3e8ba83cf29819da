package klap

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/post"
)

// Conn is a conversation with one device. It is for one goroutine.
type Conn struct {
	http   *post.Client
	cipher *sessionCipher // nil before SignIn
	cookie string
	held   Held
}

// New returns a Conn to the device at addr. It connects with the first handshake.
func New(addr netip.AddrPort, o post.Options) *Conn { return &Conn{http: post.New(addr, o)} }

// Close ends the conversation.
func (c *Conn) Close() { c.http.Close() }

// Handshake asks the device for a proof of the credential that it holds. It spends no sign-in and changes nothing.
// Errors are home.ErrUnreachable, with failure.ErrThirdParty or ErrProtocol where the device has answered.
func (c *Conn) Handshake(ctx context.Context) (Proof, error) {
	local := make([]byte, seedSize)
	_, _ = rand.Read(local) // never fails (crypto/rand)
	c.cipher, c.cookie = nil, ""
	a, err := c.send(ctx, "/app/handshake1", local)
	switch {
	case err != nil:
		return Proof{}, err
	case a.Status == http.StatusForbidden:
		return Proof{}, failure.Unreachable(failure.ErrThirdParty)
	case a.Status != http.StatusOK || len(a.Body) != seedSize+hashSize:
		return Proof{}, failure.Unreachable(failure.ErrProtocol)
	}
	cookie := post.SessionCookie(a.Header)
	return Proof{local: local, remote: a.Body[:seedSize], hash: a.Body[seedSize:], cookie: cookie}, nil
}

// SignIn opens a session with the key that the device has proved to hold, so no sign-in is spent in vain.
func (c *Conn) SignIn(ctx context.Context, p Proof, h Held) error {
	c.cookie, c.held = p.cookie, h
	a, err := c.send(ctx, "/app/handshake2", h.Version.clientHash(p.local, p.remote, h.auth))
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("second handshake answered %d: %w", a.Status, home.ErrNotOpened)
	}
	c.cipher = newSessionCipher(p.local, p.remote, h.auth)
	return nil
}

// Exchange sends one request and returns its answer. Some firmware ends the session after each request: then Exchange
// signs in again with the same key, once, and repeats the request that the device has refused. Errors are
// home.ErrUnreachable and ErrNotOpened.
func (c *Conn) Exchange(ctx context.Context, request []byte) ([]byte, error) {
	if c.cipher == nil {
		return nil, home.ErrNotOpened
	}
	raw, ended, err := c.exchangeOnce(ctx, request)
	if !ended {
		return raw, err
	}
	p, err := c.Handshake(ctx)
	if err != nil {
		return nil, err
	}
	h, ok := p.Match([]keyring.Key{c.held.Key})
	if !ok {
		return nil, home.ErrNotOpened // it holds another one by now
	}
	if err := c.SignIn(ctx, p, h); err != nil {
		return nil, err
	}
	raw, ended, err = c.exchangeOnce(ctx, request)
	if ended {
		return nil, home.ErrNotOpened
	}
	return raw, err
}

// exchangeOnce sends a request once; ended reports that the device has not run it because the session has ended.
func (c *Conn) exchangeOnce(ctx context.Context, request []byte) (raw []byte, ended bool, err error) {
	seq, body := c.cipher.seal(request)
	a, err := c.send(ctx, "/app/request?seq="+strconv.Itoa(int(seq)), body)
	switch {
	case err != nil:
		return nil, false, err
	case a.Status == http.StatusForbidden || a.Status == http.StatusUnauthorized:
		return nil, true, nil
	case a.Status != http.StatusOK:
		return nil, false, fmt.Errorf("%w: it answered with status %d", home.ErrUnreachable, a.Status)
	}
	raw, err = c.cipher.open(a.Body)
	return raw, false, err
}

func (c *Conn) send(ctx context.Context, path string, body []byte) (post.Answer, error) {
	h := http.Header{"Content-Type": {"application/octet-stream"}}
	if c.cookie != "" {
		h.Set("Cookie", "TP_SESSIONID="+c.cookie)
	}
	return c.http.Send(ctx, path, h, body)
}
