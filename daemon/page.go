package daemon

import (
	"fmt"
	"html"
	"net/http"
	"strings"
)

// The page is made without a template engine: that one calls methods by their names at run time, so the linker can drop
// no method of the program, and the binary for a router grows by 3 MB. Names of devices are escaped by text.

const pageHead = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="3">
<title>rekeyd: this house</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
table { width: 100%; border-collapse: collapse; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid color-mix(in srgb, currentColor 20%,
	transparent); vertical-align: top; }
.hint { display: block; opacity: .8; }
</style>
<main>
<h1>This house</h1>
`

const pageTable = `<table>
<thead><tr><th scope="col">Device</th><th scope="col">Kind</th>
<th scope="col">State</th><th scope="col">Address</th></tr></thead>
<tbody>
`

func text[T ~string](s T) string { return html.EscapeString(string(s)) }

// page is the house for people: without scripts, reloaded every few seconds.
func (f *Face) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	s, err := f.PublicStatus()
	if err != nil {
		http.Error(w, "the state of the hub cannot be read", http.StatusInternalServerError)
		return
	}
	_, _ = w.Write([]byte(render(s))) // an error means that the client has gone
}

// render returns the page as HTML without scripts: one table row a device.
func render(s Status) string {
	var b strings.Builder
	b.WriteString(pageHead)
	if s.Account == "" {
		b.WriteString("<p>Not signed in. With the account of the Kasa and Tapo apps, run: " +
			"<code>rekeyd login EMAIL --provider tplink</code>; without such an account, run: " +
			"<code>rekeyd register EMAIL</code>. ")
	} else {
		fmt.Fprintf(&b, "<p>Account %s, password number %d. ", text(s.Account), s.Epoch)
	}
	fmt.Fprintf(&b, "Link to the account: %s", text(s.Link))
	if s.Reason != "" {
		fmt.Fprintf(&b, " (%s)", text(s.Reason))
	}
	b.WriteString(".</p>\n")
	for _, trouble := range s.Troubles {
		fmt.Fprintf(&b, "<p role=\"alert\">%s.<span class=\"hint\">%s</span></p>\n", text(trouble.What), text(trouble.Hint))
	}
	fmt.Fprintf(&b, "<p role=\"status\">%s.</p>\n", text(s.Progress()))
	b.WriteString(pageTable)
	for _, d := range s.Devices {
		name := d.Name
		if name == "" {
			name = string(d.ID)
		}
		state := text(d.Verdict)
		if d.Epoch != 0 {
			state += fmt.Sprintf(" (password %d)", d.Epoch)
		}
		if d.Hint != "" {
			state += `<span class="hint">` + text(d.Hint) + "</span>"
		}
		fmt.Fprintf(
			&b,
			"<tr><th scope=\"row\">%s</th><td>%s</td><td>%s</td><td>%s</td></tr>\n",
			text(name),
			text(d.Kind),
			state,
			text(d.Addr),
		)
	}
	if len(s.Devices) == 0 {
		b.WriteString("<tr><td colspan=\"4\">No device was found yet.</td></tr>\n")
	}
	b.WriteString("</tbody>\n</table>\n</main>\n</html>\n")
	return b.String()
}
