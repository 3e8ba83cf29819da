package account_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account/mail"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// picky is a mail server that knows one address too few, and does not answer for another.
type picky struct {
	spool
	stuck atomic.Int32
}

func (p *picky) Send(ctx context.Context, m mail.Mail) error {
	switch m.To {
	case "gone@example.org":
		return fmt.Errorf("no such user: %w", mail.ErrNever)
	case "slow@example.org":
		p.stuck.Add(1)
		<-ctx.Done()
		return errors.Join(home.ErrUnavailable, ctx.Err())
	}
	return p.spool.Send(ctx, m)
}

func TestAMailThatNoServerTakesIsGivenUpWithARecordAndDelaysNoOther(t *testing.T) {
	post := &picky{}
	c := openWith(t, post, nil)
	for _, address := range []string{"gone@example.org", "slow@example.org", email} {
		if code := c.call("", "register", p{"email": address, "password": password}, nil); code != 0 {
			t.Fatal(code)
		}
	}
	ask := func(address string) {
		t.Helper()
		if code := c.call("", "getResetPasswordEmail", p{"email": address}, nil); code != 0 {
			t.Fatal(code)
		}
	}
	ask("slow@example.org")
	eventually(t, "a mail that hangs", func() bool { return post.stuck.Load() > 0 })
	ask("gone@example.org")
	begun := time.Now()
	ask(email)
	eventually(t, "the mail of another", func() bool { return post.count("Reset your password") == 1 })
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("a mail waited %v behind one that hangs", took)
	}
	eventually(t, "what was given up is kept", func() bool { return c.late.count("Reset your password") == 1 })
	var r struct{ Token string }
	login := p{"appType": "", "cloudUserName": "gone@example.org", "cloudPassword": password, "terminalUUID": ""}
	if code := c.call("", "login", login, &r); code != 0 {
		t.Fatal(code)
	}
	eventually(t, "the record", func() bool {
		var h struct {
			Events []struct{ What, Detail string }
		}
		c.call(r.Token, "getHistory", p{}, &h)
		return len(h.Events) > 0 && h.Events[0].What == "mail given up" && h.Events[0].Detail == "Reset your password"
	})
	if n := strings.Count(c.log.String(), "mail given up"); n != 1 {
		t.Errorf("%d mails logged as given up", n)
	}
}
