package account_test

import (
	"bytes"
	"io"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/rekeyd/rekeyd/cloudlink/account"
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

var letter = account.Mail{
	ID: "1.2", To: "Anna@example.org", Subject: "Reset your password", Text: "open this link:\n\nhttp://x/reset#t=ABC\n",
	At: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
}

func checkLetter(t *testing.T, raw []byte) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	h := m.Header
	if h.Get("Message-ID") != "<1.2@rekeyd.example>" || h.Get("Auto-Submitted") != "auto-generated" || h.Get("Subject") != letter.Subject ||
		!strings.Contains(h.Get("To"), letter.To) || !strings.Contains(h.Get("From"), "noreply@rekeyd.example") || !strings.Contains(h.Get("Date"), "23 Nov 2026") {
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
	m, err := account.NewSMTP("smtp://"+l.Addr().String(), "noreply@rekeyd.example")
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
		t.Error("no error though nobody took it")
	}
	for _, bad := range []string{"", "http://x", "smtp://", "smtp://h:99999"} {
		if _, err := account.NewSMTP(bad, "a@b.c"); err == nil {
			t.Errorf("%q taken", bad)
		}
	}
	if _, err := account.NewSMTP("smtps://user:geheim@[::1", "a@b.c"); err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("error %v", err)
	}
}

func TestMailGoesToAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	f := account.Folder{Dir: dir, From: "noreply@rekeyd.example"}
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
