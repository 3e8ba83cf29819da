package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/pin"
)

// pinnedClient returns a client of a URL with a fingerprint that follows no redirect, and the URL without it.
func pinnedClient(t *testing.T, base string) (*http.Client, string) {
	t.Helper()
	u, err := url.Parse(base)
	ok(t, err)
	sum, err := pin.Of(u)
	ok(t, err)
	u.Fragment = ""
	return &http.Client{
		Transport:     &http.Transport{TLSClientConfig: pin.Config(sum), DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       time.Minute,
	}, u.String()
}

func TestPlainRequestsAtATLSPortAreSentToHTTPS(t *testing.T) {
	o, _ := testServiceOptions(t)
	var err error
	o.TLS, err = OwnCertificate(o.State, o.Log)
	ok(t, err)
	s := runService(t, o)
	client, secure := pinnedClient(t, s.URL())
	resp, err := client.Get(secure + "/forgot")
	ok(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("over https: %s", resp.Status)
	}
	plain := strings.Replace(secure, "https://", "http://", 1)
	resp, err = client.Get(plain + "/forgot?a=b")
	ok(t, err)
	resp.Body.Close()
	if to := resp.Header.Get("Location"); resp.StatusCode != http.StatusTemporaryRedirect || to != secure+"/forgot?a=b" {
		t.Errorf("over http: %s, to %q", resp.Status, to)
	}
	resp, err = client.Post(plain, "application/json", strings.NewReader(`{"method":"login","params":{}}`))
	ok(t, err)
	body, err := io.ReadAll(resp.Body)
	ok(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden || !strings.Contains(string(body), "https only") {
		t.Errorf("a call over http: %s, %s", resp.Status, body)
	}
	// Bytes that are no request of either kind end the connection and nothing else.
	conn, err := net.Dial("tcp", s.listener.dialable())
	ok(t, err)
	defer conn.Close()
	ok(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = conn.Write([]byte("\x00\x01\x02\r\n\r\n"))
	ok(t, err)
	if rest, err := io.ReadAll(conn); len(rest) > 0 {
		t.Errorf("answered %q, %v", rest, err)
	}
}

func TestTheOwnCertificateIsMadeOnceForThisMachine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	log := slog.New(slog.DiscardHandler)
	first, err := OwnCertificate(dir, log)
	ok(t, err)
	second, err := OwnCertificate(dir, log)
	ok(t, err)
	leaf := first.tls.Leaf
	if first.Fingerprint != second.Fingerprint || first.Trusted || leaf.IsCA {
		t.Errorf("%+v and %+v", first, second)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		ok(t, leaf.VerifyHostname(name))
	}
	st, err := os.Stat(CertificateFile(dir))
	ok(t, err)
	if st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
}

func TestACertificateOfAnAuthorityIsVerifiedByName(t *testing.T) {
	roots, file := authority(t, time.Now().Add(-time.Hour))
	o, log := testServiceOptions(t)
	c, err := LoadCertificate(file, o.Log)
	ok(t, err)
	if c.Trusted || !strings.Contains(log.String(), "the certificate has expired") {
		t.Errorf("an expired certificate of an unknown authority: trusted %t, log %s", c.Trusted, log)
	}
	if !trusted(c.tls, roots) || trusted(c.tls, x509.NewCertPool()) {
		t.Error("whether a certificate is trusted does not depend on its authority")
	}
	c.Trusted = true
	o.TLS, o.Broker, o.BaseURL = c, "127.0.0.1:0", "https://hub.example.org"
	s, err := NewService(o)
	ok(t, err)
	defer s.Close()
	got := s.hubBrokers()
	if len(got) != 1 || !strings.HasPrefix(got[0], "mqtts://hub.example.org:") || strings.Contains(got[0], "#") {
		t.Errorf("hubs get %v", got)
	}
	if got := s.hubURL(s.BaseURL()); got != "https://hub.example.org" {
		t.Errorf("hubs get %s", got)
	}
}

// authority makes an authority, and a certificate of it in one file with its key.
func authority(t *testing.T, until time.Time) (roots *x509.CertPool, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ok(t, err)
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(2 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: root.NotBefore, NotAfter: until, DNSNames: []string{"hub.example.org"},
	}
	root.Subject.CommonName, leaf.Subject.CommonName = "authority", "hub"
	raw, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	ok(t, err)
	signer, err := x509.ParseCertificate(raw)
	ok(t, err)
	roots = x509.NewCertPool()
	roots.AddCert(signer)
	raw, err = x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), key)
	ok(t, err)
	content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	raw, err = x509.MarshalPKCS8PrivateKey(key)
	ok(t, err)
	file = filepath.Join(t.TempDir(), "hub.pem")
	ok(t, os.WriteFile(file, append(content, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})...), 0o600))
	return roots, file
}

// TestTheBrokersPortServesBothKinds holds that members which were enrolled before there was a certificate stay
// connected.
func TestTheBrokersPortServesBothKinds(t *testing.T) {
	o, log := testServiceOptions(t)
	var err error
	o.TLS, err = OwnCertificate(o.State, o.Log)
	ok(t, err)
	s := runService(t, o)
	connect := []byte("\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04anna") // MQTT 3.1.1: without a credential
	addr := s.brokerListener.dialable()
	sum, err := pin.Of(&url.URL{Scheme: "mqtts", Fragment: "sha256=" + o.TLS.Fingerprint})
	ok(t, err)
	for name, dial := range map[string]func() (net.Conn, error){
		"plain": func() (net.Conn, error) { return net.Dial("tcp", addr) },
		"TLS":   func() (net.Conn, error) { return tls.Dial("tcp", addr, pin.Config(sum)) },
	} {
		conn, err := dial()
		ok(t, err)
		ok(t, conn.SetDeadline(time.Now().Add(time.Minute)))
		_, err = conn.Write(connect)
		ok(t, err)
		answer := make([]byte, 4)
		if _, err := io.ReadFull(conn, answer); err != nil || answer[0] != 0x20 || answer[3] == 0 {
			t.Errorf("%s: % x, %v; want a CONNACK that refuses", name, answer, err)
		}
		conn.Close()
	}
	if n := strings.Count(log.String(), "does not use TLS"); n != 1 {
		t.Errorf("%d connections without TLS were logged", n)
	}
}
