package mail_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"net"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
)

// sink is a mail server that takes everything.
type sink struct{ got chan []byte }

type visit struct {
	s  sink
	to string
}

func (s sink) NewSession(*smtp.Conn) (smtp.Session, error) { return &visit{s: s}, nil }

func (v *visit) Mail(string, *smtp.MailOptions) error      { return nil }
func (v *visit) Rcpt(to string, _ *smtp.RcptOptions) error { v.to = to; return nil }
func (v *visit) Reset()                                    {}
func (v *visit) Logout() error                             { return nil }
func (v *visit) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	v.s.got <- raw
	return err
}

var letter = mail.Mail{
	ID: "1.2", To: "Anna@example.org", Subject: "Reset your password", Text: "open this link:\n\nhttp://x/reset#t=ABC\n",
	At: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
}

func checkLetter(t *testing.T, raw []byte) {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	h := m.Header
	if h.Get("Message-ID") != "<1.2@rekeyd.example>" || h.Get("Auto-Submitted") != "auto-generated" ||
		h.Get("Subject") != letter.Subject ||
		!strings.Contains(h.Get("To"), letter.To) || !strings.Contains(h.Get("From"), "noreply@rekeyd.example") ||
		!strings.Contains(h.Get("Date"), "23 Nov 2026") {
		t.Errorf("headers %v", h)
	}
	body, _ := io.ReadAll(m.Body)
	if !strings.Contains(strings.ReplaceAll(string(body), "=3D", "="), "#t=ABC") {
		t.Errorf("body %q", body)
	}
}

func TestMailGoesToAServer(t *testing.T) {
	s := sink{make(chan []byte, 4)}
	srv := smtp.NewServer(s)
	srv.Domain = "sink"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	m, err := mail.NewSMTP("smtp://"+l.Addr().String(), "noreply@rekeyd.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Send(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	checkLetter(t, <-s.got)
	srv.Close()
	<-done
	if err := m.Send(t.Context(), letter); err == nil {
		t.Error("no error though no server took it")
	}
	for _, bad := range []string{"", "http://x", "smtp://", "smtp://h:99999"} {
		if _, err := mail.NewSMTP(bad, "a@b.c"); err == nil {
			t.Errorf("%q taken", bad)
		}
	}
	if _, err := mail.NewSMTP("smtps://user:geheim@[::1", "a@b.c"); err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("error %v", err)
	}
}

func TestMailGoesToAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	f := mail.Folder{Dir: dir, From: "noreply@rekeyd.example"}
	for range 2 { // a second try is the same file
		if err := f.Send(t.Context(), letter); err != nil {
			t.Fatal(err)
		}
	}
	es, err := os.ReadDir(dir)
	if err != nil || len(es) != 1 || !strings.HasSuffix(es[0].Name(), ".eml") {
		t.Fatalf("%v %v", es, err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, es[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	checkLetter(t, raw)
	if st, _ := os.Stat(filepath.Join(dir, es[0].Name())); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
}

// relay is a mail server that behaves as its fields state.
type relay struct {
	*smtp.Server
	addr string
	got  chan []byte
}

// clerk takes mails for a relay: refuse is what it answers to an address, or nil.
type clerk struct {
	visit
	refuse func(to string) error
	login  func(user, password string) error
}

func (c *clerk) Rcpt(to string, o *smtp.RcptOptions) error {
	if c.refuse != nil {
		if err := c.refuse(to); err != nil {
			return err
		}
	}
	return c.visit.Rcpt(to, o)
}

func (c *clerk) AuthMechanisms() []string { return []string{sasl.Plain} }
func (c *clerk) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error { return c.login(user, password) }), nil
}

// startRelay starts a mail server on loopback, with STARTTLS (or TLS from the start) where it is given a certificate.
func startRelay(
	t *testing.T, cert *tls.Certificate, implicit bool, refuse func(string) error,
	login func(user, password string) error,
) *relay {
	t.Helper()
	r := &relay{got: make(chan []byte, 16)}
	r.Server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		c := &clerk{visit: visit{s: sink{r.got}}, refuse: refuse, login: login}
		if login == nil {
			return &struct{ smtp.Session }{c}, nil // without AUTH
		}
		return c, nil
	}))
	r.Domain, r.ErrorLog = "relay", quietLog{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	if cert != nil {
		r.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*cert}}
	}
	if implicit {
		l = tls.NewListener(l, r.TLSConfig)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = r.Serve(l) }()
	t.Cleanup(func() { _ = r.Close(); <-done })
	return r
}

type quietLog struct{}

func (quietLog) Printf(string, ...any) {}
func (quietLog) Println(...any)        {}

// certify makes a certificate for 127.0.0.1, and the pool of whoever trusts it.
func certify(t *testing.T) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:        true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestMailGoesOverTLSWithAPasswordOrNotAtAll(t *testing.T) {
	cert, pool := certify(t)
	login := func(user, password string) error {
		if user != "anna" || password != "geheim-12345" {
			return smtp.ErrAuthFailed
		}
		return nil
	}
	send := func(url string, roots *x509.CertPool) error {
		t.Helper()
		m, err := mail.NewSMTP(url, "noreply@rekeyd.example")
		if err != nil {
			t.Fatal(err)
		}
		if roots != nil {
			m.Trust(roots)
		}
		err = m.Send(t.Context(), letter)
		if err != nil && (strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "#t=")) {
			t.Errorf("a secret in %v", err)
		}
		return err
	}
	for name, implicit := range map[string]bool{"smtp": false, "smtps": true} {
		r := startRelay(t, cert, implicit, nil, login)
		if err := send(name+"://anna:geheim-12345@"+r.addr, pool); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		checkLetter(t, <-r.got)
		if err := send(name+"://anna:geheim-wrong@"+r.addr, pool); err == nil || errors.Is(err, mail.ErrNever) {
			t.Errorf("%s with a wrong password: %v; its owner may correct it in time", name, err)
		}
		if err := send(name+"://anna:geheim-12345@"+r.addr, nil); err == nil {
			t.Errorf("%s: an untrusted certificate was", name)
		}
	}
	plain := startRelay(t, nil, false, nil, func(string, string) error {
		t.Error("a password went over the network in the clear")
		return nil
	})
	if err := send("smtp://anna:geheim-12345@"+plain.addr, nil); err == nil {
		t.Error("a server without TLS was given a password")
	}
}

func TestAMailThatIsRefusedForGoodIsRecognised(t *testing.T) {
	r := startRelay(t, nil, false, func(to string) error {
		if strings.HasPrefix(to, "gone") {
			return &smtp.SMTPError{Code: 550, Message: "no such user " + to}
		}
		return &smtp.SMTPError{Code: 450, Message: "later"}
	}, nil)
	m, err := mail.NewSMTP("smtp://"+r.addr, "noreply@rekeyd.example")
	if err != nil {
		t.Fatal(err)
	}
	gone, later := letter, letter
	gone.To, later.To = "gone@example.org", "later@example.org"
	if err := m.Send(t.Context(), gone); !errors.Is(err, mail.ErrNever) {
		t.Error(err)
	}
	if err := m.Send(t.Context(), later); err == nil || errors.Is(err, mail.ErrNever) {
		t.Error(err)
	}
}

func TestAMailInRussianIsReadable(t *testing.T) {
	dir := t.TempDir()
	f := mail.Folder{Dir: dir, From: "noreply@rekeyd.example"}
	m := letter
	m.Lang, m.Subject, m.HTML = "ru", "Сброс пароля", "<p>Откройте ссылку</p>"
	m.Text = "Откройте ссылку:\n\nhttp://x/reset#t=ABC\n"
	if err := f.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, m.ID+".eml"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(raw, []byte("\nhttp://x/reset#t=ABC\r\n")) {
		t.Error("the link cannot be copied from the file")
	}
	msg, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject"))
	if err != nil || subject != m.Subject || msg.Header.Get("Content-Language") != "ru" {
		t.Errorf("%q %v %v", subject, msg.Header, err)
	}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatal(kind, err)
	}
	parts := multipart.NewReader(msg.Body, params["boundary"])
	for _, want := range []string{"text/plain", "text/html"} { // the one that is preferred comes last (RFC 2046)
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(p)
		kind, params, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if kind != want || !strings.EqualFold(params["charset"], "utf-8") ||
			!bytes.Contains(body, []byte("Откройте ссылку")) {
			t.Errorf("%v: %s", p.Header, body)
		}
	}
}
