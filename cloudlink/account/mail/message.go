package mail

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/emersion/go-message/mail"
)

// letter returns a mail in the form of RFC 5322. With eightBit its text is not encoded, so that a reader of the file
// can copy the link: our lines are short.
func letter(from string, m Mail, eightBit bool) ([]byte, error) {
	if !ValidAddress(from) || !ValidAddress(m.To) || strings.ContainsAny(m.ID+m.Lang+m.Subject, "\r\n") {
		return nil, errors.New("an address or a header is malformed")
	}
	_, domain, _ := strings.Cut(from, "@")
	var h mail.Header
	h.SetDate(m.At)
	h.SetAddressList("From", []*mail.Address{{Name: "rekeyd", Address: from}})
	h.SetAddressList("To", []*mail.Address{{Address: m.To}})
	h.SetMessageID(m.ID + "@" + domain)
	h.SetSubject(m.Subject)
	h.Set("Auto-Submitted", "auto-generated") // RFC 3834: no answering machine answers
	if m.Lang != "" {
		h.Set("Content-Language", m.Lang)
	}
	var b bytes.Buffer
	w, err := mail.CreateInlineWriter(&b, h) // multipart/alternative
	if err != nil {
		return nil, err
	}
	for _, p := range []struct{ kind, body string }{{"text/plain", m.Text}, {"text/html", m.HTML}} {
		if p.body == "" {
			continue
		}
		var ph mail.InlineHeader
		ph.SetContentType(p.kind, map[string]string{"charset": "utf-8"})
		ph.Set("Content-Transfer-Encoding", "quoted-printable")
		if eightBit {
			ph.Set("Content-Transfer-Encoding", "8bit")
		}
		part, err := w.CreatePart(ph)
		if err != nil {
			return nil, err
		}
		// RFC 5321: servers refuse a bare line feed
		_, err = io.WriteString(part, strings.ReplaceAll(strings.ReplaceAll(p.body, "\r\n", "\n"), "\n", "\r\n"))
		if err = errors.Join(err, part.Close()); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return b.Bytes(), err
}
