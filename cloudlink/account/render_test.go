package account

import (
	"strings"
	"testing"
)

func TestPagesShowWhatOthersWroteAsText(t *testing.T) {
	const evil = `"><script>alert(1)</script>`
	for _, form := range []string{"", "forgot", "code", "reset", "links"} {
		v := view{
			Title: evil, Problem: evil, Said: evil, Form: form, Action: evil, Token: evil, Email: evil,
			Hubs: []Hub{{Name: evil, Label: evil}},
		}
		page := strings.ReplaceAll(v.html(), `<script src="/page.js"></script>`, "")
		if strings.Contains(page, "<script") || strings.Contains(page, `""`) {
			t.Errorf("form %q:\n%s", form, page)
		}
	}
}
