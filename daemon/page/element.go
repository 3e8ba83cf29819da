// Package page is the look that all pages of rekeyd share, those of the house and those of the account: elements, the
// frame around them, the style, the script and the icon. It knows neither a house nor an account.
//
// Pages are made without a template engine. html/template calls methods by their names at run time, so the linker can
// drop no method of the program: the binary for mipsle grows from 13.44 MB to 15.66 MB. a-h/templ costs less than the
// 64 KiB by which that size grows, and a generator and generated files in the build; these few functions do without.
// HTML has the type Markup. A value of any other type is escaped when it is put into a page.
package page

import (
	"fmt"
	"html"
	"strings"
)

// Markup is HTML: a value of this type is not escaped.
type Markup string

// Join puts parts one after the other: Markup as it is, everything else as text.
func Join(parts ...any) Markup {
	var b strings.Builder
	for _, p := range parts {
		switch p := p.(type) {
		case Markup:
			b.WriteString(string(p))
		case string:
			b.WriteString(html.EscapeString(p))
		default:
			b.WriteString(html.EscapeString(fmt.Sprint(p)))
		}
	}
	return Markup(b.String())
}

// El is an element with its content. tag may have attributes.
func El(tag Markup, parts ...any) Markup {
	name, _, _ := strings.Cut(string(tag), " ")
	return "<" + tag + ">" + Join(parts...) + "</" + Markup(name) + ">\n"
}

// Attr is ` name="value"`.
func Attr(name Markup, value string) Markup {
	return " " + name + `="` + Markup(html.EscapeString(value)) + `"`
}

// Input is a labelled field. more are its other attributes.
func Input(label, name, kind, auto, value string, more Markup) Markup {
	a := Attr("name", name) + Attr("type", kind) + Attr("autocomplete", auto) + more
	if value != "" {
		a += Attr("value", value)
	}
	return El("label", label, Markup(" <input"+a+" required>"))
}

// Hidden is a field that is not shown.
func Hidden(name, value string) Markup {
	return `<input type="hidden"` + Attr("name", name) + Attr("value", value) + ">\n"
}

// Form is a form that is posted to a path of the site.
func Form(action string, parts ...any) Markup {
	return El(`form method="post"`+Attr("action", action), parts...)
}

// Link is a link.
func Link(href, text string) Markup { return El("a"+Attr("href", href), text) }

// List is a list of items.
func List(items ...Markup) Markup {
	var all Markup
	for _, i := range items {
		all += El("li", i)
	}
	return El("ul", all)
}

// Table is a table with a label for screen readers. On a narrow screen each cell stands below its column's name.
func Table(label string, columns []string, rows [][]any) Markup {
	var head, body Markup
	for _, c := range columns {
		head += El(`th scope="col"`, c)
	}
	for _, r := range rows {
		var cells Markup
		for i, c := range r {
			cell := Join(c)
			label := Attr("data-label", columns[i])
			if strings.HasPrefix(string(cell), "<form") {
				label = "" // the button has a text
			}
			cells += "<td" + label + ">" + cell + "</td>\n"
		}
		body += El("tr", cells)
	}
	return El("table"+Attr("aria-label", label), El("thead", El("tr", head)), El("tbody", body))
}

// Button is a button beside others of the same text. A screen reader reads what it is for with it.
func Button(text, of string) Markup {
	return El(`button class="plain"`+Attr("aria-label", text+": "+of), text)
}
