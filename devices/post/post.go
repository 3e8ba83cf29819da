// Package post sends HTTP requests to devices on the LAN, and expects the worst of what answers: answers are bounded in length and
// time, no redirect is followed, and no proxy or cookie of this machine gets to know of it. What goes wrong is told in words of its
// own, for what net/http says quotes addresses that have tokens in them.
package post

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

const (
	maxAnswer = 64 << 10
	maxHeader = 16 << 10
)

// Options are what New takes. The zero Options serve devices without TLS.
type Options struct {
	TLS     bool
	Suites  []uint16      // of TLS 1.2; Go's own choice when empty
	Timeout time.Duration // for one question and its answer, the connection included; 5 s when zero
}

// Line is a conversation with one device. It is for one goroutine.
type Line struct {
	o    Options
	at   netip.AddrPort
	t    *http.Transport
	cert [sha256.Size]byte
}

// Answer is what a device answers.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Open begins a conversation. It connects when something is sent.
func Open(at netip.AddrPort, o Options) *Line {
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	l := &Line{o: o, at: at}
	l.t = &http.Transport{
		DialContext: new(net.Dialer).DialContext, TLSHandshakeTimeout: o.Timeout, ResponseHeaderTimeout: o.Timeout,
		MaxResponseHeaderBytes: maxHeader, MaxConnsPerHost: 1, DisableCompression: true,
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}, // no HTTP/2
		TLSClientConfig: &tls.Config{
			// Devices sign their certificates themselves. Who answers is told by what it knows: see Certificate, and the drivers.
			InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, CipherSuites: slices.Clone(o.Suites),
		},
	}
	return l
}

// Close ends the conversation.
func (l *Line) Close() { l.t.CloseIdleConnections() }

// Certificate returns the fingerprint (SHA-256) of the certificate of what has answered last, zero without TLS.
func (l *Line) Certificate() [sha256.Size]byte { return l.cert }

// Send posts body to path and returns what is answered, of whatever status. All errors are home.ErrUnreachable; none tells path,
// header or body.
func (l *Line) Send(ctx context.Context, path string, header http.Header, body []byte) (Answer, error) {
	if !l.at.IsValid() {
		return Answer{}, fmt.Errorf("%w: its address is not known", home.ErrUnreachable)
	}
	ctx, stop := context.WithTimeout(ctx, l.o.Timeout)
	defer stop()
	scheme := "http://"
	if l.o.TLS {
		scheme = "https://"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+l.at.String()+path, bytes.NewReader(body))
	if err != nil {
		return Answer{}, fmt.Errorf("%w: what it gave makes no address", home.ErrUnreachable)
	}
	if header != nil {
		r.Header = header
	}
	got, err := l.t.RoundTrip(r) // follows no redirect
	if err != nil {
		return Answer{}, lost(ctx, err)
	}
	defer got.Body.Close()
	if got.TLS != nil && len(got.TLS.PeerCertificates) > 0 {
		l.cert = sha256.Sum256(got.TLS.PeerCertificates[0].Raw)
	}
	raw, err := io.ReadAll(io.LimitReader(got.Body, maxAnswer+1))
	switch {
	case err != nil:
		return Answer{}, lost(ctx, err)
	case len(raw) > maxAnswer:
		return Answer{}, fmt.Errorf("%w: its answer is too long", home.ErrUnreachable)
	}
	return Answer{got.StatusCode, got.Header, raw}, nil
}

// lost says that there is no answer, and why where a person can do something with it.
func lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", home.ErrUnreachable, ctx.Err())
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fmt.Errorf("%w: no connection", home.ErrUnreachable)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fmt.Errorf("%w: what answers does not speak TLS", home.ErrUnreachable)
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return fmt.Errorf("%w: it agrees to no cipher", home.ErrUnreachable)
	}
	return fmt.Errorf("%w: connection broke", home.ErrUnreachable)
}

// CameraSuites are those that the vendor's cameras are known to take, as far as Go has them: devices/PROTOCOLS.md, sections 5.2 and 10.4. Most
// exchange keys by RSA, which Go offers only where it is named. AES256-SHA256, which some offer, Go does not have.
func CameraSuites() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA256, tls.TLS_RSA_WITH_AES_256_CBC_SHA, tls.TLS_RSA_WITH_AES_128_CBC_SHA,
	}
}

// Session returns the cookie of a session, as devices set it, or nothing. The TIMEOUT beside it is not sent back: they dislike it.
func Session(h http.Header) string {
	for _, line := range h.Values("Set-Cookie") {
		for part := range strings.SplitSeq(line, ";") {
			name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
			if ok && name == "TP_SESSIONID" && len(value) <= 128 && !strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' }) {
				return value
			}
		}
	}
	return ""
}
