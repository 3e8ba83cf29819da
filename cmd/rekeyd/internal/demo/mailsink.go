package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/textproto"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// mailSink is an SMTP server on loopback that keeps what it is sent: the demo's mailbox.
type mailSink struct {
	l    net.Listener
	srv  *smtp.Server
	mail chan sinkMail
}

// sinkMail is one mail as it arrived.
type sinkMail struct {
	to, text string
}

const maxSinkMail = 1 << 20

// newMailSink opens a mail server on loopback, which keeps the last mails in memory and sends none.
func newMailSink() (*mailSink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a mailbox: %w", err)
	}
	s := &mailSink{l: l, mail: make(chan sinkMail, 64)}
	s.srv = smtp.NewServer(s)
	s.srv.Domain = "localhost"
	s.srv.MaxMessageBytes = maxSinkMail
	s.srv.ReadTimeout, s.srv.WriteTimeout = 10*time.Second, 10*time.Second
	return s, nil
}

// url is where the account service sends mail to.
func (s *mailSink) url() string { return "smtp://" + s.l.Addr().String() }

// run takes mail until ctx ends.
func (s *mailSink) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.srv.Close() })
	defer stop()
	err := s.srv.Serve(s.l)
	if ctx.Err() != nil || errors.Is(err, smtp.ErrServerClosed) {
		return nil
	}
	return err
}

// NewSession is smtp.Backend.
func (s *mailSink) NewSession(*smtp.Conn) (smtp.Session, error) { return &sinkSession{sink: s}, nil }

// sinkSession is one SMTP session.
type sinkSession struct {
	sink *mailSink
	to   string
}

func (s *sinkSession) Reset()                                    { s.to = "" }
func (s *sinkSession) Logout() error                             { return nil }
func (s *sinkSession) Mail(string, *smtp.MailOptions) error      { return nil }
func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error { s.to = to; return nil }

// Data keeps a mail, and refuses it when the last 64 were not taken.
func (s *sinkSession) Data(r io.Reader) error {
	text, err := plainText(r)
	if err != nil {
		return err
	}
	m := sinkMail{to: s.to, text: text}
	select {
	case s.sink.mail <- m:
		return nil
	default:
		return errors.New("mailbox is full")
	}
}

// plainText returns the text of a mail.
func plainText(r io.Reader) (string, error) {
	msg, err := mail.ReadMessage(r)
	if err != nil {
		return "", err
	}
	body, header := msg.Body, textproto.MIMEHeader(msg.Header)
	if kind, p, err := mime.ParseMediaType(header.Get("Content-Type")); err == nil &&
		strings.HasPrefix(kind, "multipart/") {
		first, err := multipart.NewReader(
			body, p["boundary"],
		).NextRawPart() // the plain text: RFC 2046 has what is preferred last
		if err != nil {
			return "", err
		}
		body, header = first, first.Header
	}
	if strings.EqualFold(header.Get("Content-Transfer-Encoding"), "quoted-printable") {
		body = quotedprintable.NewReader(body)
	}
	raw, err := io.ReadAll(io.LimitReader(body, maxSinkMail))
	return string(raw), err
}

// link waits for the mail with a link to a page of the account service.
func (s *mailSink) link(ctx context.Context, to, page string) (string, error) {
	for {
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("no mail with a link came: %w", home.ErrUnavailable)
		case m := <-s.mail:
			for _, word := range strings.Fields(m.text) {
				if m.to == to && strings.Contains(word, page+"#t=") {
					return word, nil
				}
			}
		}
	}
}
