package mail

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"
	"time"
)

func TestALetterGoesOverSevenBitsToo(t *testing.T) {
	m := Mail{
		ID: "1.2", To: "anna@example.org", Subject: "Сброс", At: time.Unix(0, 0),
		Text: "Откройте ссылку:\n\nhttp://x/reset#t=" + strings.Repeat("A", 100) + "\n",
	}
	raw, err := letter("noreply@rekeyd.example", m, false)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(raw) {
		if len(line) > 78 || !bytes.HasSuffix(line, []byte("\r\n")) ||
			bytes.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
			t.Errorf("line %q", line)
		}
	}
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	part, err := multipart.NewReader(msg.Body, params["boundary"]).NextPart() // it decodes quoted-printable
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(part)
	if want := strings.ReplaceAll(m.Text, "\n", "\r\n"); err != nil || string(body) != want {
		t.Errorf("%q, %v; want %q", body, err, want)
	}
}

func TestALetterTakesNoFurtherHeaders(t *testing.T) {
	good := Mail{ID: "1.2", To: "anna@example.org", Subject: "s", Text: "t"}
	for _, spoil := range []func(*Mail){
		func(m *Mail) { m.To = "anna@example.org\r\nBcc: eve@example.org" },
		func(m *Mail) { m.To = "anna@example.org, eve@example.org" },
		func(m *Mail) { m.Lang = "en\r\nBcc: eve@example.org" },
		func(m *Mail) { m.ID = "1\r\nBcc: eve@example.org" },
		func(m *Mail) { m.Subject = "s\r\nBcc: eve@example.org" },
	} {
		m := good
		spoil(&m)
		if _, err := letter("noreply@rekeyd.example", m, true); err == nil {
			t.Errorf("%+v was taken", m)
		}
	}
}
