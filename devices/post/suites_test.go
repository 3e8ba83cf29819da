package post_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/devices/post"
)

// certificate is one that a device signed itself.
func certificate(t *testing.T, key crypto.Signer) tls.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "TPRI-DEVICE"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(20, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Firmware of 2026 has certificates that Go's own choice of suites, or the RSA key exchange of older cameras, does not
// cover.
func TestCertificatesOfCamerasAreAccepted(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0") // to make the key: the client needs no such setting
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*tls.Config{
		"ECDSA": {Certificates: []tls.Certificate{certificate(t, curve)}},
		"RSA-1024, ECDHE on P-521 only": {
			Certificates: []tls.Certificate{certificate(t, small)}, CurvePreferences: []tls.CurveID{tls.CurveP521},
			CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "hello")
			}))
			c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
			s.TLS, s.Config.ErrorLog = c, log.New(io.Discard, "", 0)
			s.StartTLS()
			t.Cleanup(s.Close)
			at := netip.MustParseAddrPort(s.Listener.Addr().String())
			l := post.New(at, post.Options{TLS: true, Suites: post.CameraSuites()})
			defer l.Close()
			if a, err := l.Send(t.Context(), "/", nil, nil); err != nil || string(a.Body) != "hello" {
				t.Errorf("got %q, %v", a.Body, err)
			}
		})
	}
}
