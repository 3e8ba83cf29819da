package account

import (
	"fmt"
	"html"
	"strings"
)

// Pages are put together by hand, not by a template engine: that one reaches every method by its name at run time, the linker
// can then drop none of them, and the binary for a router is 3 MB larger. Whatever is not written here goes through esc.

// view is what a page shows.
type view struct {
	Title, Problem, Said, Form, Action, Token, Email string
	Min, Max                                         int
	Hubs                                             []Hub
}

// esc makes text of s, in content and in quoted attributes.
func esc(s string) string { return html.EscapeString(s) }

func (v view) html() string {
	var b strings.Builder
	title := esc(v.Title)
	fmt.Fprintf(&b, `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s</title><link rel="stylesheet" href="/page.css"></head>
<body><main><h1>%s</h1>
`, title, title)
	if v.Problem != "" {
		fmt.Fprintf(&b, "<p role=\"alert\">%s</p>\n", esc(v.Problem))
	}
	if v.Said != "" {
		fmt.Fprintf(&b, "<p role=\"status\">%s</p>\n", esc(v.Said))
	}
	switch v.Form {
	case "forgot":
		b.WriteString(`<form method="post" action="/forgot">
<label>E-mail address with which you registered <input name="email" type="email" autocomplete="username" required></label>
<button>OK</button></form>
`)
	case "code":
		fmt.Fprintf(&b, `<form method="post" action="%s">
<label>Code from the mail <input id="token" name="token" autocomplete="one-time-code" required></label>
<button>Go on</button></form><script src="/page.js"></script>
`, esc(v.Action))
	case "reset":
		v.resetForm(&b)
	case "links":
		b.WriteString("<ul><li><a href=\"/forgot\">Forgot your password?</a></li><li><a href=\"/reset\">I have a code</a></li></ul>\n")
	}
	b.WriteString("</main></body></html>\n")
	return b.String()
}

func (v view) resetForm(b *strings.Builder) {
	fmt.Fprintf(b, `<form method="post" action="/reset">
<input type="hidden" name="token" value="%s"><input type="hidden" name="chosen" value="1">
<p>Account: <strong>%s</strong></p>
<label>New password <input name="password" type="password" autocomplete="new-password" required></label>
<label>The same again <input name="again" type="password" autocomplete="new-password" required></label>
<p>%d to %d letters, digits and signs of ASCII, no spaces: your devices can hold no others.</p>
`, esc(v.Token), esc(v.Email), v.Min, v.Max)
	if len(v.Hubs) > 0 {
		b.WriteString("<fieldset><legend>These hubs give the new password to your devices. Take away the mark from each that is not yours.</legend>\n")
		for _, h := range v.Hubs {
			fmt.Fprintf(b, "<label><input type=\"checkbox\" name=\"hub\" value=\"%s\" checked> %s (%d devices)</label>\n", esc(h.Name), esc(h.Label), h.Devices)
		}
		b.WriteString("</fieldset>\n")
	}
	b.WriteString("<button>Save</button></form>\n")
}
