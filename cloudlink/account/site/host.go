package site

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// ownHost refuses requests under a name that is not the service's own. Otherwise a page of another site whose name is
// made to resolve to this address (DNS rebinding) reads pages and calls the API from a visitor's browser, and the
// service may be on loopback only. Addresses, "localhost" and the host of the base URL cannot belong to another site.
func ownHost(baseURL string, next http.Handler) http.Handler {
	base, err := url.Parse(baseURL)
	if err != nil {
		base = &url.URL{} // account.New refuses such a URL
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		if !strings.EqualFold(host, base.Hostname()) && host != "localhost" && net.ParseIP(host) == nil {
			http.Error(rw, "this service has another name: open "+base.String(), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(rw, r)
	})
}
