package mail

import (
	"fmt"
	"html"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account/language"
)

// Recipient is the account that a letter goes to.
type Recipient struct {
	Account string // empty for an address that has none yet
	Email   string
	Lang    string // a tag of package language
}

// Letters writes the letters of a service.
type Letters struct {
	BaseURL string // as people reach the service: links begin with it
}

// Reset is the letter with the link that resets the password; life is how long the link works.
func (l Letters) Reset(to Recipient, token, door string, now time.Time, life time.Duration) Mail {
	t := language.Of(to.Lang)
	return compose(t, to, t.Mail.Reset(door, life), l.BaseURL+"/reset", token, now, life)
}

// Activate is the letter with the link that ends a registration.
func (l Letters) Activate(to Recipient, token string, now time.Time, life time.Duration) Mail {
	t := language.Of(to.Lang)
	return compose(t, to, t.Mail.Activate(life), l.BaseURL+"/activate", token, now, life)
}

// Taken is the letter to the owner of an address that was registered again.
func (l Letters) Taken(to Recipient, now time.Time) Mail {
	t := language.Of(to.Lang)
	return compose(t, to, t.Mail.Taken(), l.BaseURL+"/forgot", "", now, 24*time.Hour)
}

// Changed is the letter that reports a change of the password, with the link "this was not me".
func (l Letters) Changed(to Recipient, door, notMe string, reset bool, now time.Time) Mail {
	t := language.Of(to.Lang)
	return compose(t, to, t.Mail.Changed(now, door, reset), l.BaseURL+"/notme", notMe, now, 3*24*time.Hour)
}

// HubAdded is the letter that reports a new hub of the account, with the link "this was not me".
func (l Letters) HubAdded(to Recipient, hub, notMe string, now time.Time) Mail {
	t := language.Of(to.Lang)
	return compose(t, to, t.Mail.HubAdded(now, hub), l.BaseURL+"/notme", notMe, now, 3*24*time.Hour)
}

// compose puts a letter together, as text and as HTML: with a link to the page, which carries the token behind the #,
// and the same token as a code to type where the link cannot be opened. Without a token the link leads to the page,
// and that is all.
func compose(
	t *language.Texts, to Recipient, l language.Letter, page, token string, now time.Time, life time.Duration,
) Mail {
	link := page
	if token != "" {
		link += "#t=" + token
	}
	var text, body strings.Builder
	paragraph := func(s string) {
		text.WriteString(wrap(s) + "\n\n")
		fmt.Fprintf(&body, "<p>%s</p>\n", html.EscapeString(s))
	}
	for _, s := range l.Before {
		paragraph(s)
	}
	text.WriteString(link + "\n\n")
	href := html.EscapeString(link)
	const button = "display:inline-block;padding:10px " +
		"20px;border-radius:6px;background:#0b57d0;color:#ffffff;text-decoration:none"
	fmt.Fprintf(&body, "<p><a href=\"%s\" style=\"%s\">%s</a></p>\n", href, button, html.EscapeString(l.Link))
	fmt.Fprintf(&body, "<p style=\"word-break:break-all\"><a href=\"%s\">%s</a></p>\n", href, href)
	if token != "" {
		typed := Code(token)
		intro := t.Mail.Code(page)
		fmt.Fprintf(&text, "%s\n\n%s\n\n", intro, typed)
		fmt.Fprintf(
			&body, "<p>%s</p>\n<p style=\"font-family:monospace;font-size:18px\">%s</p>\n", html.EscapeString(intro), typed,
		)
	}
	for _, s := range l.After {
		paragraph(s)
	}
	fmt.Fprintf(&text, "-- \n%s\n", wrap(t.Mail.Footer))
	return Mail{
		Account: to.Account, To: to.Email, Lang: t.Tag, Subject: l.Subject, Text: text.String(), At: now,
		Expires: now.Add(life),
		HTML: fmt.Sprintf(`<!DOCTYPE html>
<html lang="%s"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>%s</title></head>
<body style="font-family:system-ui,sans-serif;font-size:16px;line-height:1.5;max-width:36em">
%s<p style="font-size:13px">%s</p>
</body></html>
`, t.Tag, html.EscapeString(l.Subject), body.String(), html.EscapeString(t.Mail.Footer)),
	}
}

// wrap breaks a paragraph into lines that every mail program shows.
func wrap(s string) string {
	var b strings.Builder
	n := 0
	for word := range strings.FieldsSeq(s) {
		length := len([]rune(word))
		switch {
		case n == 0:
		case n+1+length > 76:
			b.WriteByte('\n')
			n = 0
		default:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += length
	}
	return b.String()
}

// Code is a token as it is typed: in groups of four.
func Code(token string) string {
	var b strings.Builder
	for i, r := range token {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return b.String()
}
