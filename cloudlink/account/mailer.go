package account

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	gomail "github.com/wneessen/go-mail"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// message is a mail in the form of RFC 5322. Encoded with gomail.NoEncoding its text stands as it is, so that whoever reads the file can
// copy the link: our lines are short.
func message(from string, m Mail, how gomail.Encoding) (*gomail.Msg, error) {
	msg := gomail.NewMsg(gomail.WithEncoding(how), gomail.WithNoDefaultUserAgent())
	_, domain, _ := strings.Cut(from, "@")
	if err := errors.Join(msg.FromFormat("rekeyd", from), msg.To(m.To)); err != nil {
		return nil, errors.New("an address is malformed")
	}
	msg.Subject(m.Subject)
	msg.SetMessageIDWithValue(m.ID + "@" + domain)
	msg.SetDateWithValue(m.At)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no answering machine answers
	if m.Lang != "" {
		msg.SetGenHeader("Content-Language", m.Lang)
	}
	crlf := strings.NewReplacer("\r\n", "\r\n", "\n", "\r\n") // RFC 5321: servers refuse a bare line feed
	msg.SetBodyString(gomail.TypeTextPlain, crlf.Replace(m.Text))
	if m.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, crlf.Replace(m.HTML))
	}
	return msg, nil
}

// Folder is a Mailer that writes each mail into a folder, as an .eml file, for a house without a mail server.
type Folder struct {
	Dir  string
	From string // address
}

// Send writes the file; it is there whole or not at all.
func (f Folder) Send(_ context.Context, m Mail) error {
	msg, err := message(f.From, m, gomail.NoEncoding)
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	tmp, err := os.CreateTemp(f.Dir, ".mail-*") // 0600
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	_, err = msg.WriteTo(tmp)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(f.Dir, m.ID+".eml"))
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("mail: %w", err)
	}
	return nil
}

// SMTP is a Mailer that hands mails to a server.
type SMTP struct {
	from   string
	tls    *tls.Config
	client func() (*gomail.Client, error)
}

// NewSMTP returns a Mailer for smtp://[user:password@]host[:port] (STARTTLS where the server has it, and always where a
// password is sent to another machine) or smtps:// (TLS from the start). It connects to nothing. Its errors do not repeat the URL.
func NewSMTP(server, from string) (*SMTP, error) {
	u, err := url.Parse(server)
	if err != nil || (u.Scheme != "smtp" && u.Scheme != "smtps") || u.Hostname() == "" {
		return nil, &home.Error{Op: "set up mail", Err: errors.New("want a URL like smtps://user:password@mail.example.org"), Hint: "correct --smtp"}
	}
	if !validEmail(from) {
		return nil, &home.Error{Op: "set up mail", Err: fmt.Errorf("sender %q is no e-mail address", from), Hint: "correct --mail-from"}
	}
	port := 587
	if u.Scheme == "smtps" {
		port = 465
	}
	if p := u.Port(); p != "" {
		if port, err = strconv.Atoi(p); err != nil || port < 1 || port > 65535 {
			return nil, &home.Error{Op: "set up mail", Err: fmt.Errorf("port %q", p), Hint: "correct --smtp"}
		}
	}
	o := []gomail.Option{gomail.WithPort(port), gomail.WithTimeout(mailTimeout)}
	pw, auth := u.User.Password()
	switch {
	case u.Scheme == "smtps":
		o = append(o, gomail.WithSSL())
	case auth:
		o = append(o, gomail.WithTLSPolicy(gomail.TLSMandatory))
	default:
		o = append(o, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	}
	if auth {
		o = append(o, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(u.User.Username()), gomail.WithPassword(pw))
	}
	s := &SMTP{from: from, tls: &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}}
	o = append(o, gomail.WithTLSConfig(s.tls))
	s.client = func() (*gomail.Client, error) { return gomail.NewClient(u.Hostname(), o...) }
	return s, nil
}

// Send returns nil once the server has accepted the mail.
func (s *SMTP) Send(ctx context.Context, m Mail) error {
	err := s.send(ctx, m, gomail.NoEncoding)
	if e, ok := errors.AsType[*gomail.SendError](err); ok && e.Reason == gomail.ErrNoUnencoded {
		err = s.send(ctx, m, gomail.EncodingQP) // the server carries seven bits only
	}
	return err
}

func (s *SMTP) send(ctx context.Context, m Mail, how gomail.Encoding) error {
	msg, err := message(s.from, m, how)
	if err != nil {
		return fmt.Errorf("mail: %w: %w", ErrNever, err)
	}
	c, err := s.client()
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	err = c.DialAndSendWithContext(ctx, msg)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*gomail.SendError](err); ok && e.ErrorCode() >= 500 {
		switch e.Reason {
		case gomail.ErrSMTPRcptTo, gomail.ErrSMTPData, gomail.ErrSMTPDataClose:
			// What the server says may repeat the mail; its code does not.
			return fmt.Errorf("mail: %w: the server answered %d", ErrNever, e.ErrorCode())
		}
	}
	return fmt.Errorf("mail: %w: %w", home.ErrUnavailable, err)
}
