package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/account/mail"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
)

// TestThePolicyInTheHelpIsTheDefault reads the help as its reader does: what it shows is a file that changes nothing,
// with every limit.
func TestThePolicyInTheHelpIsTheDefault(t *testing.T) {
	help := newAccountServe().Long
	file := help[strings.Index(help, "\n{")+1:]
	file = file[:strings.Index(file, "\n}")+2]
	p, err := account.ParsePolicy([]byte(file))
	ok(t, err)
	if p != account.DefaultPolicy() {
		t.Errorf("it prints %+v, the default is %+v", p, account.DefaultPolicy())
	}
	var shown map[string]any
	ok(t, json.Unmarshal([]byte(file), &shown))
	_, err = account.ParsePolicy([]byte(`{"unknown": 1}`))
	_, all, found := strings.Cut(err.Error(), "there are ")
	if !found {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(all, ", ") {
		if _, ok := shown[name]; !ok && !strings.Contains(help, `"`+name+`"`) {
			t.Errorf("the help does not name %s", name)
		}
	}
}

func TestMailGoesWhereTheFlagsName(t *testing.T) {
	state := t.TempDir()
	const from = "rekeyd@localhost.localdomain"
	log := &output{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	files := func(dir string) mail.Mailer { return mail.Folder{Dir: dir, From: from, Log: logger} }
	for _, c := range []struct {
		flags     string
		over      bool        // SMTP
		in, after mail.Mailer // files in place of SMTP, and for what SMTP did not take
	}{
		{"", false, files(filepath.Join(state, "mail")), nil},
		{"--mail-dir /srv/post", false, files("/srv/post"), nil},
		{"--smtp smtp://127.0.0.1:1", true, nil, nil},
		{"--smtp smtp://127.0.0.1:1 --mail-dir /srv/post", true, nil, files("/srv/post")},
	} {
		cmd := &cobra.Command{}
		m := accountFlags(cmd, "listen", "base-url")
		ok(t, cmd.ParseFlags(strings.Fields(c.flags)))
		o := app.ServiceOptions{State: state, Log: logger}
		ok(t, errors.Join(m.check(), m.apply(&o)))
		_, over := o.Mail.(*mail.SMTP)
		if over != c.over || !over && o.Mail != c.in || o.GivenUp != c.after {
			t.Errorf("%q: %T, and then %v", c.flags, o.Mail, o.GivenUp)
		}
		for _, m := range []mail.Mailer{c.in, c.after} {
			if f, ok := m.(mail.Folder); ok && !strings.Contains(log.String(), "dir="+f.Dir) {
				t.Errorf("%q: the log does not name the folder: %s", c.flags, log)
			}
		}
	}
}
