package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// SMTP is a Mailer that hands mails to a server.
type SMTP struct {
	addr, from string
	implicit   bool // TLS from the start
	auth       func() []sasl.Client
	tls        *tls.Config
}

// NewSMTP returns a Mailer for smtp://[user:password@]host[:port] (STARTTLS where the server has it, and always where a
// password is sent) or smtps:// (TLS from the start). It connects to nothing. Its errors do not repeat the URL.
func NewSMTP(server, from string) (*SMTP, error) {
	u, err := url.Parse(server)
	if err != nil || (u.Scheme != "smtp" && u.Scheme != "smtps") || u.Hostname() == "" {
		return nil, &home.Error{
			Op:   "set up mail",
			Err:  errors.New("want a URL like smtps://user:password@mail.example.org"),
			Hint: "correct --smtp",
		}
	}
	if !ValidAddress(from) {
		return nil, &home.Error{Op: "set up mail", Err: fmt.Errorf("sender %q is no e-mail "+
			"address", from), Hint: "correct --mail-from"}
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
	s := &SMTP{
		addr: net.JoinHostPort(u.Hostname(), strconv.Itoa(port)), from: from, implicit: u.Scheme == "smtps",
		tls: &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12},
	}
	if password, ok := u.User.Password(); ok {
		user := u.User.Username()
		s.auth = func() []sasl.Client {
			return []sasl.Client{sasl.NewPlainClient("", user, password), sasl.NewLoginClient(user, password)}
		}
	}
	return s, nil
}

// Send returns nil once the server has accepted the mail.
func (s *SMTP) Send(ctx context.Context, m Mail) error {
	ctx, stop := context.WithTimeout(ctx, sendTimeout)
	defer stop()
	c, err := s.dial(ctx)
	if err != nil {
		return fmt.Errorf("mail: %w: %w", home.ErrUnavailable, err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	if err := s.signIn(c); err != nil {
		return fmt.Errorf("mail: %w: %w", home.ErrUnavailable, err)
	}
	eightBit, _ := c.Extension("8BITMIME")
	msg, err := letter(s.from, m, eightBit)
	if err != nil {
		return fmt.Errorf("mail: %w: %w", ErrNever, err)
	}
	var o smtp.MailOptions
	if eightBit {
		o.Body = smtp.Body8BitMIME
	}
	if err := c.Mail(s.from, &o); err != nil {
		return fmt.Errorf("mail: %w: sender: %w", home.ErrUnavailable, coded(err))
	}
	if err := hand(c, m.To, msg); err != nil {
		if e, ok := errors.AsType[*smtp.SMTPError](err); ok && e.Code >= 500 {
			return fmt.Errorf("mail: %w: %w", ErrNever, coded(err))
		}
		return fmt.Errorf("mail: %w: %w", home.ErrUnavailable, coded(err))
	}
	_ = c.Quit() // the mail is accepted, an error of QUIT changes nothing
	return nil
}

// hand gives the server a mail for one address.
func hand(c *smtp.Client, to string, msg []byte) error {
	if err := c.Rcpt(to, nil); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(msg); err != nil {
		return err
	}
	return w.Close()
}

// coded reduces an error of the server to its code: its text may repeat the mail or a password.
func coded(err error) error {
	if e, ok := errors.AsType[*smtp.SMTPError](err); ok {
		return fmt.Errorf("the server answered %d", e.Code)
	}
	return err
}

// dial connects, over TLS wherever the server has it.
func (s *SMTP) dial(ctx context.Context) (*smtp.Client, error) {
	connect := func() (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", s.addr)
		if err == nil {
			deadline, _ := ctx.Deadline()
			err = c.SetDeadline(deadline)
		}
		return c, err
	}
	conn, err := connect()
	if err != nil {
		return nil, err
	}
	if s.implicit {
		return smtp.NewClient(tls.Client(conn, s.tls)), nil
	}
	if s.auth == nil {
		c := smtp.NewClient(conn)
		if has, _ := c.Extension("STARTTLS"); !has {
			return c, nil
		}
		_ = c.Close()
		if conn, err = connect(); err != nil {
			return nil, err
		}
	}
	c, err := smtp.NewClientStartTLS(conn, s.tls)
	if err != nil {
		_ = conn.Close()
		return nil, coded(err)
	}
	return c, nil
}

// signIn authenticates the sender, where there is a password.
func (s *SMTP) signIn(c *smtp.Client) error {
	if s.auth == nil {
		return nil
	}
	for _, a := range s.auth() {
		mechanism, _, err := a.Start()
		if err != nil {
			return errors.New("sign-in could not begin")
		}
		if c.SupportsAuth(mechanism) {
			if err := c.Auth(a); err != nil {
				return fmt.Errorf("sign in: %w", coded(err))
			}
			return nil
		}
	}
	return errors.New("the server takes no password in a way that is known here")
}
