package site

import (
	"net/http"
	"net/url"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// ownHost refuses requests under a name that is neither the service's own nor the machine's: see home.OwnHost.
func ownHost(baseURL string, names []string, next http.Handler) http.Handler {
	base, err := url.Parse(baseURL)
	if err != nil {
		base = &url.URL{} // account.New refuses such a URL
	}
	names = append([]string{base.Hostname()}, names...)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !home.OwnHost(home.HostOf(r), names...) {
			http.Error(rw, "this service has another name: open "+base.String(), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(rw, r)
	})
}
