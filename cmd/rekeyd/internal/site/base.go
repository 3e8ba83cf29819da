package site

import (
	"errors"
	"net/url"
	"strings"
)

// Base is where people open the site: through a proxy, under another name or below a path. The zero value is the
// site's own address.
type Base struct {
	URL    string // without a slash at its end
	Host   string // without its port
	Origin string // scheme, host and port, as browsers send it with a form
	Prefix string // the path; empty for none
	Secure bool   // https
}

// ParseBase parses a URL such as http://hub.example.org/rekeyd; an empty one is the zero value.
func ParseBase(raw string) (Base, error) {
	if raw == "" {
		return Base{}, nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.Contains(u.Path, "//") {
		return Base{}, errors.New("want a URL like http://hub.example.org/rekeyd")
	}
	if u.Scheme == "http" && u.Port() == "80" || u.Scheme == "https" && u.Port() == "443" {
		u.Host = strings.TrimSuffix(u.Host, ":"+u.Port()) // browsers leave it out
	}
	prefix := strings.TrimRight(u.EscapedPath(), "/")
	return Base{
		URL: u.Scheme + "://" + u.Host + prefix, Host: u.Hostname(), Origin: u.Scheme + "://" + u.Host, Prefix: prefix,
		Secure: u.Scheme == "https",
	}, nil
}

// path is the path of a page as browsers see it.
func (b Base) path(p string) string { return b.Prefix + p }
