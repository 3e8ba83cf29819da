package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// mailLink is a link from a mail, or a bare code.
type mailLink struct {
	base    string // URL of the account service that gets the token
	token   home.Secret
	account accountService // the configured account service
}

// readLink asks for the link without echo. With --stdin it reads the link from standard input, and on a second line,
// where the command wants one, the new password. On a terminal it returns no password.
func readLink(c *cobra.Command, wantPassword bool) (link mailLink, password home.Secret, err error) {
	if stdin, _ := c.Flags().GetBool("stdin"); stdin {
		l := newLines(io.LimitReader(input(c), 2*maxPassword))
		first, _ := l.next() // what cannot be read is an empty line
		first = strings.TrimSpace(first)
		var bad error
		if wantPassword {
			password, bad = l.password()
		}
		switch {
		case c.Context().Err() != nil:
			return mailLink{}, home.Secret{}, c.Context().Err()
		case bad != nil && !errors.Is(bad, io.EOF):
			err = bad
		case wantPassword && (first == "" || password.IsZero()):
			err = errors.New("want on standard input a link, and then the new password, a line each")
		case first == "":
			err = errors.New("want a link on standard input")
		default:
			link, err = parseLink(c, first)
		}
		if err != nil {
			return mailLink{}, home.Secret{}, terminal.Usage(c, err)
		}
		return link, password, nil
	}
	f, ok := c.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		err := errors.New("standard input is no terminal: give the link there with --stdin")
		return mailLink{}, home.Secret{}, terminal.Usage(c, err)
	}
	typed, err := askPassword(c, f, "Link from the mail (not shown)")
	if err != nil {
		return mailLink{}, home.Secret{}, err
	}
	if link, err = parseLink(c, strings.TrimSpace(typed.Reveal())); err != nil {
		err = terminal.Usage(c, err)
	}
	return link, home.Secret{}, err
}

// pastedURL finds the link in a pasted text.
var pastedURL = regexp.MustCompile(`[a-z]+://[^\s<>"]+`)

// parseLink returns the account service and the token of a pasted link or code. With --account-url the token goes
// there, wherever the link leads. A link to the configured service goes to the URL by which this machine reaches that
// service.
func parseLink(c *cobra.Command, text string) (mailLink, error) {
	l := mailLink{account: accountOf(c)}
	l.base = l.account.url
	code, ok := account.FindCode(text)
	if !ok {
		return l, errors.New("this is not a link or a code from a mail of the account service: copy all of it")
	}
	l.token = home.NewSecret(code)
	link := pastedURL.FindString(text)
	if link == "" {
		return l, nil
	}
	base, _, err := app.SplitLink(link)
	if !l.account.given && !sameURL(base, l.account.public) && !sameURL(base, l.account.url) {
		l.base = base
	}
	return l, err
}

// client returns a client of the service that gets the token.
func (l mailLink) client(c *cobra.Command) (*v1.Client, error) {
	if l.base == l.account.url {
		return l.account.client(c)
	}
	return clientOf(c, l.base)
}

// prompt asks for the new password, and names the service and its rule.
func (l mailLink) prompt() string {
	if l.base != l.account.url {
		return "New password for your account at " + hostOf(l.base)
	}
	return fmt.Sprintf("New password for your account at %s (%s)", hostOf(l.base), l.account.passwordRule())
}

// confirmHost asks before a new password is sent to another account service than the configured one.
func (l mailLink) confirmHost(c *cobra.Command) error {
	if l.base == l.account.url {
		return nil
	}
	leads, own := terminal.Printable(l.base), terminal.Printable(l.account.public)
	stdin, _ := c.Flags().GetBool("stdin")
	if !stdin {
		question := fmt.Sprintf("The link leads to %s. Your account service is %s. Send your new password to %s?",
			leads, own, terminal.Printable(hostOf(l.base)))
		if yes, _ := askYes(c, question); yes {
			return nil
		}
	}
	return &home.Error{
		Op:   "reset the password",
		Err:  fmt.Errorf("the link leads to %s, which is not the account service %s", leads, own),
		Hint: "if that is where your account is, run: rekeyd reset --account-url " + leads,
	}
}

// hostOf returns the host of a URL, or all of what is none.
func hostOf(base string) string {
	if u, err := url.Parse(base); err == nil && u.Host != "" {
		return u.Host
	}
	return base
}

// noSecrets returns a check of arguments that takes none: the first would be a secret.
func noSecrets(secret string) cobra.PositionalArgs {
	return func(c *cobra.Command, as []string) error {
		if len(as) > 0 {
			return terminal.Usage(c, noSecretArgument(c.CommandPath(), secret))
		}
		return nil
	}
}
