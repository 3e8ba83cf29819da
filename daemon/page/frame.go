package page

import (
	_ "embed" // for the style, the script and the icon
	"html"
	"net"
	"net/http"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

//go:embed page.css
var style []byte

//go:embed page.js
var script []byte

//go:embed icon.svg
var icon []byte

// Item is a link of the navigation.
type Item struct{ Path, Text string }

// Content is one page. Texts are in its language.
type Content struct {
	Lang      string // a tag
	Title     string
	Problem   string // shown as an alert
	Result    string // shown as a status: the result of the last request
	Warning   string // shown beside a password field
	Above     string // name of the site that this one is a part of; empty for none
	AbovePath string // of its first page, as browsers see it
	Nav       []Item
	Here      string // path of the Nav item that this page is
	Label     string // of the navigation
	Skip      string // the link that jumps over it
	Account   Markup // at the end of the navigation: sign in, or out
	Body      Markup
	Footer    Markup
	Secure    bool // people reach it over https
	Refresh   bool // a browser without JavaScript asks again every few seconds
	Script    bool
}

// policy allows a page its own style, script and events. No other site can show it in a frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Header sets the headers that every page and stream of events has.
func Header(h http.Header, lang string) {
	h.Set("Cache-Control", "no-store")
	// With no-referrer a browser sends "Origin: null" with each form. Over plain HTTP that is all that it sends, so forms
	// of this site and of others would look the same. Secrets are in fragments, which no Referer has.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", policy)
	h.Set("Content-Language", lang)
	h.Set("Vary", "Accept-Language")
}

// Write writes a page whose site is below prefix, which is empty or begins with a slash.
func Write(w http.ResponseWriter, status int, prefix string, c Content) {
	Header(w.Header(), c.Lang)
	if c.Secure { // over plain HTTP a browser ignores it, with an error on its console
		w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(Below(prefix, c.render()))) // the client went away
}

func (c Content) render() Markup {
	head, title, body := Markup(""), c.Title, Markup("")
	if c.Refresh {
		head = `<noscript><meta http-equiv="refresh" content="3"></noscript>` + "\n"
	}
	if c.Script {
		head += `<script src="/page.js" defer></script>` + "\n"
	}
	if c.Problem != "" {
		title = c.Problem + " " + title // a screen reader begins with the title
		body += El(`p role="alert" id="problem"`, c.Problem)
	}
	if c.Result != "" {
		body += El(`p role="status" id="result"`, c.Result)
	}
	if c.Warning != "" && strings.Contains(string(c.Body), ` type="password"`) {
		body += El(`p class="warning" id="plain"`, c.Warning)
	}
	return Join(Markup("<!DOCTYPE html>\n<html"), Attr("lang", c.Lang), Markup(`><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="same-origin">
`), El("title", title, " · rekeyd"), Markup(`<link rel="stylesheet" href="/page.css">
<link rel="icon" href="/icon.svg" type="image/svg+xml">
`), head, Markup("</head>\n<body>\n"), El(`a class="skip" href="#content"`, c.Skip), c.header(),
		Markup(`<main id="content" tabindex="-1">`+"\n"), El("h1", c.Title), body, c.Body, Markup("</main>\n"),
		El("footer", c.Footer), Markup("</body></html>\n"))
}

// header is the name of the site and the navigation, the same on every page.
func (c Content) header() Markup {
	logo := Markup(`<img src="/icon.svg" alt="" width="24" height="24"> `)
	name, items := El(`a class="name" href="/"`, logo, "rekeyd"), Markup("")
	if c.Above != "" { // Below leaves single quotes as they are
		first := "a href='" + Markup(html.EscapeString(c.AbovePath)) + "'"
		name, items = El(first+` class="name"`, logo, "rekeyd"), El("li", El(first, c.Above))
	}
	for _, i := range c.Nav {
		a := "a" + Attr("href", i.Path)
		if i.Path == c.Here {
			a += ` aria-current="page"`
		}
		items += El("li", El(a, i.Text))
	}
	if c.Account != "" {
		items += El("li", c.Account)
	}
	if items == "" {
		return El("header", name)
	}
	return El("header", name, El("nav"+Attr("aria-label", c.Label), El("ul", items)))
}

// Below has the paths in links and forms begin with prefix. Only attributes that this package wrote match: quotes in
// texts are escaped.
func Below(prefix string, m Markup) Markup {
	if prefix == "" {
		return m
	}
	return Markup(strings.NewReplacer(
		` href="/`, ` href="`+prefix+`/`, ` src="/`, ` src="`+prefix+`/`, ` action="/`, ` action="`+prefix+`/`,
		` data-live="/`, ` data-live="`+prefix+`/`,
	).Replace(string(m)))
}

// Assets adds the style, the script and the icon to a site.
func Assets(mux *http.ServeMux) {
	for path, a := range map[string]struct {
		kind string
		raw  []byte
	}{
		"/page.css": {"text/css; charset=utf-8", style}, "/page.js": {"text/javascript; charset=utf-8", script},
		"/icon.svg": {"image/svg+xml", icon},
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h.Set("Content-Type", a.kind)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Cache-Control", "max-age=3600")
			_, _ = w.Write(a.raw)
		})
	}
}

// OwnForms refuses forms of other sites. Behind a proxy a request can name another host than the page has: forms of
// origin are this site's, too; empty for none.
func OwnForms(origin string, next http.Handler) http.Handler {
	p := http.NewCrossOriginProtection()
	if origin != "" {
		_ = p.AddTrustedOrigin(origin) // an origin that does not parse matches no request
	}
	return p.Handler(next)
}

// Plain reports whether a page goes over a network in the clear: plain HTTP, and the browser is not on this machine.
func Plain(r *http.Request, secure bool) bool {
	host := home.HostOf(r)
	ip := net.ParseIP(host)
	return !secure && host != "localhost" && (ip == nil || !ip.IsLoopback())
}

// Strip serves next below prefix, and also without it: a proxy may take the prefix away or leave it.
func Strip(prefix string, next http.Handler) http.Handler {
	if prefix == "" {
		return next
	}
	below := http.StripPrefix(prefix, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == prefix:
			http.Redirect(w, r, prefix+"/", http.StatusPermanentRedirect)
		case strings.HasPrefix(r.URL.Path, prefix+"/"):
			below.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}
