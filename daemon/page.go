package daemon

import (
	_ "embed"
	"html/template"
	"net/http"
)

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// page shows the house to a person: server-rendered, without scripts, made anew every few seconds.
func (f *Face) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	s := f.Status()
	var bound, current int
	for _, d := range s.Devices {
		if d.Bound {
			bound++
			if d.Verdict == "current" {
				current++
			}
		}
	}
	_ = pageTemplate.Execute(w, struct {
		Status
		Bound, Current int
	}{s, bound, current})
}
