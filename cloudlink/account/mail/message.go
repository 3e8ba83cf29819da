package mail

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"time"
)

// letter is a mail in the form of RFC 5322. Where it goes over eight bits its text stands as it is, so that whoever reads the file can copy
// the link: our lines are short.
func letter(from string, m Mail, eightBit bool) ([]byte, error) {
	if !ValidAddress(from) || !ValidAddress(m.To) || strings.ContainsAny(m.ID+m.Lang, "\r\n") {
		return nil, errors.New("an address is malformed")
	}
	_, domain, _ := strings.Cut(from, "@")
	var b bytes.Buffer
	field := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	field("Date", m.At.Format(time.RFC1123Z))
	field("From", (&mail.Address{Name: "rekeyd", Address: from}).String())
	field("To", (&mail.Address{Address: m.To}).String())
	field("Message-ID", "<"+m.ID+"@"+domain+">")
	field("Subject", mime.QEncoding.Encode("utf-8", m.Subject)) // ASCII stays as it is, control characters do not
	field("Auto-Submitted", "auto-generated")                   // RFC 3834: no answering machine answers
	if m.Lang != "" {
		field("Content-Language", m.Lang)
	}
	field("MIME-Version", "1.0")
	var parts *multipart.Writer
	if m.HTML != "" {
		parts = multipart.NewWriter(&b)
		field("Content-Type", "multipart/alternative; boundary="+parts.Boundary())
		b.WriteString("\r\n")
	}
	for _, p := range []struct{ kind, body string }{{"text/plain", m.Text}, {"text/html", m.HTML}} {
		if p.body == "" {
			continue
		}
		encoding := "quoted-printable"
		if eightBit {
			encoding = "8bit"
		}
		h := textproto.MIMEHeader{"Content-Type": {p.kind + "; charset=utf-8"}, "Content-Transfer-Encoding": {encoding}}
		if parts == nil {
			field("Content-Type", h.Get("Content-Type"))
			field("Content-Transfer-Encoding", encoding)
			b.WriteString("\r\n")
		} else if _, err := parts.CreatePart(h); err != nil {
			return nil, err
		}
		body := strings.ReplaceAll(strings.ReplaceAll(p.body, "\r\n", "\n"), "\n", "\r\n") // RFC 5321: servers refuse a bare line feed
		if eightBit {
			b.WriteString(body)
			continue
		}
		q := quotedprintable.NewWriter(&b)
		_, err := q.Write([]byte(body))
		if err = errors.Join(err, q.Close()); err != nil {
			return nil, err
		}
	}
	if parts != nil {
		if err := parts.Close(); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}
