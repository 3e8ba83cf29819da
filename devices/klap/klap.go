package klap

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/post"
)

// What a device can say instead of a greeting.
var (
	ErrForbidden = errors.New("it takes no orders of third parties") // 403 to the first handshake: Third-Party Compatibility is off
	ErrOther     = errors.New("it speaks no KLAP")                   // 404, or something else that is no greeting
)

// Line is a conversation with one device. It is for one goroutine.
type Line struct {
	post    *post.Client
	session *session
	cookie  string
	found   Found
}

// Open begins a conversation. It connects when something is said.
func Open(at netip.AddrPort, o post.Options) *Line { return &Line{post: post.New(at, o)} }

// Close ends the conversation.
func (l *Line) Close() { l.post.Close() }

// Greet asks the device for a proof of what it holds. That spends no login, and changes nothing. Errors are home.ErrUnreachable, and
// ErrForbidden or ErrOther inside where the device has answered so.
func (l *Line) Greet(ctx context.Context) (Greeting, error) {
	local := make([]byte, seedSize)
	_, _ = rand.Read(local) // never fails (crypto/rand)
	l.session, l.cookie = nil, ""
	a, err := l.send(ctx, "/app/handshake1", local)
	switch {
	case err != nil:
		return Greeting{}, err
	case a.Status == http.StatusForbidden:
		return Greeting{}, fmt.Errorf("%w: %w", home.ErrUnreachable, ErrForbidden)
	case a.Status != http.StatusOK || len(a.Body) != seedSize+hashSize:
		return Greeting{}, fmt.Errorf("%w: %w", home.ErrUnreachable, ErrOther)
	}
	return Greeting{local: local, remote: a.Body[:seedSize], server: a.Body[seedSize:], cookie: post.SessionCookie(a.Header)}, nil
}

// SignIn opens a session with the key that was found. The device has proved that it holds it, so no login is spent in vain.
func (l *Line) SignIn(ctx context.Context, g Greeting, f Found) error {
	l.cookie, l.found = g.cookie, f
	a, err := l.send(ctx, "/app/handshake2", f.Version.client(g.local, g.remote, f.auth))
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("second handshake answered %d: %w", a.Status, home.ErrNotOpened)
	}
	l.session = newSession(g.local, g.remote, f.auth)
	return nil
}

// Ask sends one request and returns its answer. Some firmware ends the session after each: then it signs in anew with the same key, once,
// and asks again what the device has refused to hear. Errors are home.ErrUnreachable and ErrNotOpened.
func (l *Line) Ask(ctx context.Context, request []byte) ([]byte, error) {
	if l.session == nil {
		return nil, home.ErrNotOpened
	}
	raw, ended, err := l.once(ctx, request)
	if !ended {
		return raw, err
	}
	g, err := l.Greet(ctx)
	if err != nil {
		return nil, err
	}
	f, ok := g.Find(l.found.keys())
	if !ok {
		return nil, home.ErrNotOpened // it holds another one by now
	}
	if err := l.SignIn(ctx, g, f); err != nil {
		return nil, err
	}
	raw, ended, err = l.once(ctx, request)
	if ended {
		return nil, home.ErrNotOpened
	}
	return raw, err
}

// once asks; ended tells that the device has not heard it because there is no session.
func (l *Line) once(ctx context.Context, request []byte) (raw []byte, ended bool, err error) {
	seq, body := l.session.next(request)
	a, err := l.send(ctx, "/app/request?seq="+strconv.Itoa(int(seq)), body)
	switch {
	case err != nil:
		return nil, false, err
	case a.Status == http.StatusForbidden || a.Status == http.StatusUnauthorized:
		return nil, true, nil
	case a.Status != http.StatusOK:
		return nil, false, fmt.Errorf("%w: it answered with status %d", home.ErrUnreachable, a.Status)
	}
	raw, err = l.session.open(a.Body)
	return raw, false, err
}

func (l *Line) send(ctx context.Context, path string, body []byte) (post.Answer, error) {
	h := http.Header{"Content-Type": {"application/octet-stream"}}
	if l.cookie != "" {
		h.Set("Cookie", "TP_SESSIONID="+l.cookie)
	}
	return l.post.Send(ctx, path, h, body)
}
