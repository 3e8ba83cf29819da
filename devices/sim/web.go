package sim

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// forbidden reports whether this user may not open the ports of the web.
var forbidden = sync.OnceValue(func() bool {
	l, err := net.Listen("tcp4", "127.255.255.253:1")
	if err == nil {
		_ = l.Close()
	}
	return errors.Is(err, syscall.EACCES)
})

// webPort is a protocol's true port, or one 8000 above it where only root may open that: devices state in discovery
// which they have.
func webPort(own uint16) uint16 {
	if forbidden() {
		return own + 8000
	}
	return own
}

// webSocket is a device that is on and serves HTTP.
type webSocket struct {
	l net.Listener
	s *http.Server

	open sync.WaitGroup // connections
}

// plugWeb opens the socket of a device that serves HTTP, over TLS where t is given.
func plugWeb(s Spec, port uint16, h http.Handler, t *tls.Config) (socket, error) {
	l, err := s.open(netip.AddrPortFrom(s.Addr, port))
	if err != nil {
		return nil, err
	}
	w := &webSocket{l: l}
	if t != nil {
		w.l = tls.NewListener(l, t)
	}
	w.s = &http.Server{
		Handler: h, ReadHeaderTimeout: idle, ReadTimeout: idle, WriteTimeout: idle, IdleTimeout: idle,
		MaxHeaderBytes: maxRequest,
		ErrorLog:       log.New(io.Discard, "", 0), // errors of clients are the clients' own
		ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				w.open.Add(1)
			case http.StateClosed, http.StateHijacked:
				w.open.Done()
			}
		},
	}
	return w, nil
}

func (w *webSocket) serve(context.Context) {
	_ = w.s.Serve(w.l) // it ends when it is closed
	_ = w.s.Close()
	w.open.Wait()
}

func (w *webSocket) Close() error { return errors.Join(w.s.Close(), w.l.Close()) }

// unitKey is the one key of all simulated devices: to make one takes long. Certificates are made one a device.
var unitKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// unitDER is the public half of unitKey in PKIX form, nothing where there is no key.
func unitDER() []byte {
	key, err := unitKey()
	if err != nil {
		return nil
	}
	der, _ := x509.MarshalPKIXPublicKey(key.Public()) // an RSA key has this form
	return der
}

// selfSigned makes a certificate as a device has it.
func selfSigned(name string, suites ...uint16) (*tls.Config, error) {
	key, err := unitKey()
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(20, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: suites,
	}, nil
}
