package app

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
)

// A port with a certificate reads the first byte of each connection to see whether its client speaks TLS. The accept
// loop does not wait for it: the first Read of the connection does, within the server's own deadlines.

// recordHandshake is the first byte of a TLS connection: the content type of a ClientHello (RFC 8446, 5.1). No HTTP
// request and no MQTT CONNECT begins with it.
const recordHandshake = 22

// maxPlainRequest is the longest plain HTTP request that is answered.
const maxPlainRequest = 16 << 10

// withTLS returns l with a certificate. Where plain is true, clients without TLS are served as well.
func withTLS(l net.Listener, c *Certificate, plain bool, log *slog.Logger) net.Listener {
	if plain {
		return mixedListener{l, c.config(), log}
	}
	return tls.NewListener(redirectListener{l}, c.config())
}

// redirectListener is below TLS on the ports of HTTP: it sends browsers that do not speak TLS to https.
type redirectListener struct{ net.Listener }

// Accept does not read: a client that sends nothing must not hold up the others.
func (l redirectListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &redirectConn{Conn: c, in: bufio.NewReader(c)}, nil
}

// redirectConn is a connection of a redirectListener. Only one goroutine reads it.
type redirectConn struct {
	net.Conn
	in     *bufio.Reader
	looked bool
}

// Read looks at the first byte: a TLS record, or a request in clear text, which is redirected.
func (c *redirectConn) Read(b []byte) (int, error) {
	if !c.looked {
		c.looked = true
		first, err := c.in.Peek(1)
		if err != nil {
			return 0, err
		}
		if first[0] != recordHandshake {
			c.redirect()
			return 0, net.ErrClosed
		}
	}
	return c.in.Read(b)
}

// redirect answers a plain request. A form or a call is not repeated over https: what it held is on the wire already,
// and its sender is to learn that.
func (c *redirectConn) redirect() {
	r, err := http.ReadRequest(bufio.NewReader(io.LimitReader(c.in, maxPlainRequest)))
	if err != nil {
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		_, _ = fmt.Fprintf(c.Conn, "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n"+
			"{\"error_code\":%d,\"msg\":\"This port speaks https only: begin its URL with https://\"}\n", v1.InvalidInput)
		return
	}
	_, _ = fmt.Fprintf(c.Conn, "HTTP/1.1 307 Temporary Redirect\r\nConnection: close\r\nContent-Length: 0\r\n"+
		"Location: https://%s%s\r\n\r\n", r.Host, r.URL.RequestURI())
}

// mixedListener is a broker's: it serves TLS, and members that were enrolled before there was a certificate.
type mixedListener struct {
	net.Listener
	config *tls.Config
	log    *slog.Logger
}

func (l mixedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &mixedConn{Conn: c, l: l}, nil
}

// mixedConn is a connection of a mixedListener.
type mixedConn struct {
	net.Conn
	l     mixedListener
	once  sync.Once // sets inner
	inner net.Conn
}

// open looks at the first byte.
func (c *mixedConn) open() net.Conn {
	c.once.Do(func() {
		in := bufio.NewReader(c.Conn)
		raw := &bufferedConn{c.Conn, in}
		c.inner = raw
		switch first, err := in.Peek(1); {
		case err != nil: // the next Read returns it
		case first[0] == recordHandshake:
			c.inner = tls.Server(raw, c.l.config)
		default:
			c.l.log.Info("a client of the broker does not use TLS; a hub does after: rekeyd login EMAIL",
				"from", c.RemoteAddr())
		}
	})
	return c.inner
}

func (c *mixedConn) Read(b []byte) (int, error)  { return c.open().Read(b) }
func (c *mixedConn) Write(b []byte) (int, error) { return c.open().Write(b) }

// bufferedConn is a connection whose first bytes were read.
type bufferedConn struct {
	net.Conn
	in *bufio.Reader
}

func (c *bufferedConn) Read(b []byte) (int, error) { return c.in.Read(b) }
