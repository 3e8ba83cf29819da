package account_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/rekeyd/rekeyd/cloudlink/account/mail"

	"github.com/rekeyd/rekeyd/cloudlink/account"
)

// last waits for the newest mail with a link to a page.
func (c *cloud) last(page string) mail.Mail {
	c.t.Helper()
	var found mail.Mail
	eventually(c.t, "a mail with a link to "+page, func() bool {
		c.mail.mu.Lock()
		defer c.mail.mu.Unlock()
		for _, m := range c.mail.mails {
			if strings.Contains(m.Text, page+"#t=") || page == "/forgot" && strings.Contains(m.Text, page) {
				found = m
			}
		}
		return found.ID != ""
	})
	return found
}

// TestEveryMailHasTheSameTextAndHTML looks at each mail in both languages.
func TestEveryMailHasTheSameTextAndHTML(t *testing.T) {
	for lang, texts := range map[string]map[string]string{
		"en": {
			"/activate": "Somebody registered an account", "/forgot": "which has one already",
			"/reset": "through the tpCamera app", "/notme": "If this was not you",
		},
		"ru": {
			"/activate": "Кто-то зарегистрировал", "/forgot": "а она уже есть", "/reset": "через приложение tpCamera",
			"/notme": "Если это были не вы",
		},
	} {
		t.Run(lang, func(t *testing.T) {
			c := open(t, func(p *account.Policy) { p.Activation = true })
			ask := func(body string) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.web.URL, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Accept-Language", lang)
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			defer http.DefaultClient.CloseIdleConnections()
			register := `{"method":"register","params":{"email":"` + email + `","password":"` + password + `"}}`
			ask(register)
			if err := c.s.Activate(t.Context(), tokenIn.FindStringSubmatch(c.last("/activate").Text)[1]); err != nil {
				t.Fatal(err)
			}
			ask(register)
			c.last("/forgot")
			// its client speaks English
			if code := c.call("", "getResetPasswordEmail", p{"email": email, "door": "tpcamera"}, nil); code != 0 {
				t.Fatal(code)
			}
			if code := c.reset(tokenIn.FindStringSubmatch(c.last("/reset").Text)[1], second); code != 0 {
				t.Fatal(code)
			}
			for page, text := range texts {
				m := c.last(page)
				plain := strings.Join(strings.Fields(m.Text), " ")
				if !strings.Contains(plain, text) || m.Lang != lang || !strings.Contains(m.HTML, `<html lang="`+lang+`">`) {
					t.Errorf("%s in %s:\n%s", page, m.Lang, m.Text)
				}
				isCyrillic := func(r rune) bool { return unicode.Is(unicode.Cyrillic, r) }
				if strings.ContainsFunc(m.Subject, isCyrillic) != (lang == "ru") {
					t.Errorf("subject %q", m.Subject)
				}
				link := regexp.MustCompile(`(?m)^http://\S+$`).FindString(m.Text)
				if link == "" || strings.Count(m.HTML, `href="`+html.EscapeString(link)+`"`) != 2 {
					t.Errorf("%s: the link %q is not the same in HTML:\n%s", page, link, m.HTML)
				}
				if _, token, ok := strings.Cut(link, "#t="); ok {
					typed := regexp.MustCompile(`(?m)^[A-Z2-7]{4}(-[A-Z2-7]{1,4})+$`).FindString(m.Text)
					if strings.ReplaceAll(typed, "-", "") != token || !strings.Contains(m.HTML, typed) {
						t.Errorf("%s: the code %q is not the link's", page, typed)
					}
				}
				for line := range strings.Lines(m.Text + m.HTML) {
					if len(line) > 900 {
						t.Errorf("%s: a line of %d bytes", page, len(line))
					}
				}
				// Showing it sends no request to any host.
				for _, bad := range []string{"<img", "<link", "<script", "url(", "@import", "src="} {
					if strings.Contains(m.HTML, bad) {
						t.Errorf("%s: %s in the HTML", page, bad)
					}
				}
				for _, secret := range []string{password, second} {
					if strings.Contains(m.Text+m.HTML+m.Subject, secret) {
						t.Errorf("%s: a password in a mail", page)
					}
				}
			}
		})
	}
}
