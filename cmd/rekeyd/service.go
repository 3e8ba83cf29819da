package main

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon"
)

// defaultAccountURL is where the embedded account service listens.
const defaultAccountURL = "http://127.0.0.1:7354"

func addAccountFlag(c *cobra.Command) {
	c.Flags().String("account-url", "", "base URL of the account service, with #sha256=FINGERPRINT where it has a "+
		"certificate of its own (default: that of the daemon on this machine, else "+defaultAccountURL+")")
}

// accountService is the account service that a command speaks to.
type accountService struct {
	url    string // may pin a certificate
	public string // begins the links in its mails
	given  bool   // the command line names it
	least  int    // length of a password there; 0 where that is unknown
	socket *hub   // over which the service in the daemon answers; nil for another one
}

// accountOf returns the account service that the command line names, or that the daemon on this machine uses.
func accountOf(c *cobra.Command) accountService {
	if u, _ := c.Flags().GetString("account-url"); u != "" {
		public, _, _ := strings.Cut(u, "#")
		return accountService{url: u, public: public, given: true}
	}
	var s daemon.Status
	h := dialHub(stateOf(c))
	err := h.call(c.Context(), http.MethodGet, "/v1/status", nil, &s)
	if err != nil || s.AccountURL == "" {
		return accountService{url: defaultAccountURL, public: defaultAccountURL}
	}
	at := accountService{url: s.AccountURL, public: s.PublicURL, least: s.PasswordMin}
	if s.Embedded {
		at.socket = h
	}
	return at
}

// client returns a client of the service. The one in the daemon is called over the daemon's own socket: it answers
// with the code that it mails, and no password travels.
func (a accountService) client(c *cobra.Command) (*v1.Client, error) {
	if a.socket != nil {
		return v1.Over("http://localhost/v1/account", a.socket.http.Transport)
	}
	return clientOf(c, a.url)
}

// passwordRule describes the passwords that the service and devices accept, for a prompt.
func (a accountService) passwordRule() string {
	if a.least == 0 {
		return fmt.Sprintf("up to %d letters, digits and signs, no spaces", account.MaxPassword)
	}
	return fmt.Sprintf("%d to %d letters, digits and signs, no spaces", a.least, account.MaxPassword)
}

// clientOf returns a client of the account service at a URL.
func clientOf(c *cobra.Command, base string) (*v1.Client, error) {
	client, err := v1.New(base)
	if err != nil {
		return nil, terminal.Usage(c, fmt.Errorf("%s is no http or https URL of an account service, or its fingerprint "+
			"is not #sha256= and 64 hexadecimal digits", terminal.Printable(base)))
	}
	return client, nil
}

// sameURL compares two URLs; a slash at the end and a fingerprint do not matter.
func sameURL(a, b string) bool {
	a, _, _ = strings.Cut(a, "#")
	b, _, _ = strings.Cut(b, "#")
	return strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/")
}

// warnPlain warns where a password is about to be sent over a network in the clear.
func warnPlain(c *cobra.Command, base string) {
	if plainOnNetwork(base) {
		fmt.Fprintf(c.ErrOrStderr(), "warning: %s is not encrypted: whoever listens on your network can read the password. "+
			"Start the account service with: --tls auto\n", terminal.Printable(base))
	}
}

// plainOnNetwork reports whether a URL is of plain HTTP and leads to another machine.
func plainOnNetwork(base string) bool {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" || u.Hostname() == "localhost" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return ip == nil || !ip.IsLoopback()
}
