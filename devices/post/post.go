// Package post sends HTTP requests to devices on the LAN and trusts none of their answers: length and time of an answer
// are bounded, redirects are not followed, and neither a proxy nor a cookie of this machine is used. Its errors do not
// quote those of net/http, which contain addresses with tokens.
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
	"sync/atomic"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

const (
	maxAnswer = 64 << 10
	maxHeader = 16 << 10
)

// Options are the options of New. The zero Options serve devices without TLS.
type Options struct {
	TLS     bool
	Suites  []uint16      // of TLS 1.2; Go's own choice when empty
	Timeout time.Duration // for one request and its answer, the connection included; 5 s when zero
	Dial    Dial          // used instead of TCP, where given
}

// Dial opens a connection, as the method DialContext of net.Dialer does.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// Client sends requests to one device over one connection. It is for one goroutine.
type Client struct {
	o    Options
	addr netip.AddrPort
	http *http.Transport
	cert [sha256.Size]byte

	connected atomic.Bool // a connection was opened
}

// Answer is the answer of a device.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// New returns a Client for the device at addr. It connects with the first request.
func New(addr netip.AddrPort, o Options) *Client {
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	c := &Client{o: o, addr: addr}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := o.Dial(ctx, network, addr)
		c.connected.Store(err == nil || c.connected.Load())
		return conn, err
	}
	c.http = &http.Transport{
		DialContext:            dial,
		TLSHandshakeTimeout:    o.Timeout,
		ResponseHeaderTimeout:  o.Timeout,
		MaxResponseHeaderBytes: maxHeader,
		MaxConnsPerHost:        1,
		DisableCompression:     true,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // no HTTP/2
		TLSClientConfig: &tls.Config{
			// Certificates of devices are self-signed. The driver's protocol identifies the device; see Certificate.
			InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, CipherSuites: slices.Clone(o.Suites),
		},
	}
	return c
}

// Close closes the connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Certificate returns the fingerprint (SHA-256) of the certificate of the last answer, zero without TLS.
func (c *Client) Certificate() [sha256.Size]byte { return c.cert }

// Send posts body to path and returns the answer, whatever its status. Every error is home.ErrUnreachable; none
// contains path, header or body.
func (c *Client) Send(ctx context.Context, path string, header http.Header, body []byte) (Answer, error) {
	if !c.addr.IsValid() {
		return Answer{}, fmt.Errorf("%w: its address is not known", home.ErrUnreachable)
	}
	whole := ctx
	ctx, stop := context.WithTimeout(whole, c.o.Timeout)
	defer stop()
	scheme := "http://"
	if c.o.TLS {
		scheme = "https://"
	}
	url := scheme + c.addr.String() + path
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return Answer{}, fmt.Errorf("%w: the token it gave makes no address", home.ErrUnreachable)
	}
	if header != nil {
		r.Header = header
	}
	got, err := c.http.RoundTrip(r) // follows no redirect
	if err != nil {
		return Answer{}, c.unreachable(whole, ctx, err)
	}
	defer got.Body.Close()
	if got.TLS != nil && len(got.TLS.PeerCertificates) > 0 {
		c.cert = sha256.Sum256(got.TLS.PeerCertificates[0].Raw)
	}
	raw, err := io.ReadAll(io.LimitReader(got.Body, maxAnswer+1))
	switch {
	case err != nil:
		return Answer{}, c.unreachable(whole, ctx, err)
	case len(raw) > maxAnswer:
		return Answer{}, fmt.Errorf("%w: its answer is too long", home.ErrUnreachable)
	}
	return Answer{got.StatusCode, got.Header, raw}, nil
}

// unreachable returns home.ErrUnreachable with the reason, in words that quote nothing: home.ErrSlow for a device that
// accepted a connection and did not answer one request in time. Whole is the context of the caller.
func (c *Client) unreachable(whole, ctx context.Context, err error) error {
	reason := "connection broke"
	timeout, isNet := errors.AsType[net.Error](err)
	late := whole.Err() == nil && (ctx.Err() != nil || isNet && timeout.Timeout())
	op, isOp := errors.AsType[*net.OpError](err)
	_, noTLS := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	switch {
	case late && c.connected.Load():
		return fmt.Errorf("%w: %w", home.ErrUnreachable, home.ErrSlow)
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", home.ErrUnreachable, ctx.Err())
	case isOp && op.Op == "dial":
		reason = "no connection"
	case noTLS:
		reason = "it does not speak TLS"
	case alert:
		reason = "it agrees to no cipher"
	}
	return fmt.Errorf("%w: %s", home.ErrUnreachable, reason)
}

// CameraSuites returns the TLS suites that the vendor's cameras are known to accept, as far as Go has them
// (devices/PROTOCOLS.md, sections 5.2 and 10.4). Most use RSA key exchange, which Go offers only where it is named.
func CameraSuites() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA256, tls.TLS_RSA_WITH_AES_256_CBC_SHA, tls.TLS_RSA_WITH_AES_128_CBC_SHA,
	}
}

// SessionCookie returns the value of the cookie TP_SESSIONID, or nothing where it cannot stand in a header. The TIMEOUT
// beside it is not sent back: devices dislike it (devices/PROTOCOLS.md, section 7.1).
func SessionCookie(h http.Header) string { return Cookie(h, "TP_SESSIONID") }

// Cookie returns the value of the cookie of this name, or nothing where it cannot stand in a header.
func Cookie(h http.Header, cookie string) string {
	unfit := func(r rune) bool { return r <= ' ' || r > '~' || r == ',' }
	for _, line := range h.Values("Set-Cookie") {
		for part := range strings.SplitSeq(line, ";") {
			name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
			if ok && name == cookie && len(value) <= 128 && !strings.ContainsFunc(value, unfit) {
				return value
			}
		}
	}
	return ""
}
