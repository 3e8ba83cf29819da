package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// TestThePolicyInTheHelpIsTheDefault reads the help as its reader does: what it shows is a file that changes nothing, with every limit.
func TestThePolicyInTheHelpIsTheDefault(t *testing.T) {
	help := newAccountServe().Long
	file := help[strings.Index(help, "\n{")+1:]
	file = file[:strings.Index(file, "\n}")+2]
	p, err := account.ParsePolicy([]byte(file))
	ok(t, err)
	if p != account.DefaultPolicy() {
		t.Errorf("it says %+v, the default is %+v", p, account.DefaultPolicy())
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

func TestMailGoesWhereTheCommandLineSays(t *testing.T) {
	state := t.TempDir()
	const from = "rekeyd@localhost.localdomain"
	files := func(dir string) account.Mailer { return account.Folder{Dir: dir, From: from} }
	for _, c := range []struct {
		flags     string
		over      bool           // SMTP
		in, after account.Mailer // files in place of SMTP, and for what SMTP did not take
	}{
		{"", false, files(filepath.Join(state, "mail")), nil},
		{"--mail-dir /srv/post", false, files("/srv/post"), nil},
		{"--smtp smtp://127.0.0.1:1", true, nil, nil},
		{"--smtp smtp://127.0.0.1:1 --mail-dir /srv/post", true, nil, files("/srv/post")},
	} {
		cmd, log := &cobra.Command{}, &said{}
		m := accountFlags(cmd, "base-url")
		ok(t, cmd.ParseFlags(strings.Fields(c.flags)))
		o := appOptions{State: state, Log: slog.New(slog.NewTextHandler(log, nil))}
		ok(t, errors.Join(m.check(), m.apply(&o)))
		_, over := o.Mail.(*account.SMTP)
		if over != c.over || !over && o.Mail != c.in || o.GivenUp != c.after {
			t.Errorf("%q: %T, and then %v", c.flags, o.Mail, o.GivenUp)
		}
		for _, m := range []account.Mailer{c.in, c.after} {
			if f, ok := m.(account.Folder); ok && !strings.Contains(log.String(), "dir="+f.Dir) {
				t.Errorf("%q: the terminal does not say where: %s", c.flags, log)
			}
		}
	}
}

// served is an account service as `rekeyd account serve` puts it up, and what it logs.
func served(t *testing.T, o appOptions) (a *app, log *said) {
	t.Helper()
	log = &said{}
	o.State, o.Log = t.TempDir(), slog.New(slog.NewTextHandler(log, nil))
	o.Policy = account.DefaultPolicy()
	o.Policy.Activation, o.Policy.HashMemory, o.Policy.HashTime = false, 64, 1
	if o.Mail == nil {
		o.Mail = account.Folder{Dir: filepath.Join(o.State, "mail"), From: "rekeyd@localhost.localdomain"}
	}
	a = &app{o: o}
	ok(t, a.openCloud())
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); a.run(ctx, a.cloudParts()) }()
	t.Cleanup(func() {
		// It ends in seconds though somebody is connected and says nothing.
		idle, err := net.Dial("tcp", a.doors[0].l.Addr().String())
		ok(t, err)
		defer idle.Close()
		stop()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Error("still there after 5 s")
		}
		a.close()
	})
	return a, log
}

// TestHubsAreToldWhereTheyFindTheBroker reads the word that pairs a hub.
func TestHubsAreToldWhereTheyFindTheBroker(t *testing.T) {
	for name, c := range map[string]struct {
		o    appOptions
		want string // PORT is the embedded broker's
		warn bool   // that mails lead nowhere for others
	}{
		"as it is": {appOptions{Listen: listenOptions{Account: "127.0.0.1:0", Broker: "127.0.0.1:0"}}, "mqtt://127.0.0.1:PORT", false},
		"where people find the service": {
			appOptions{Listen: listenOptions{Account: "127.0.0.1:0", Broker: "0.0.0.0:0"}, BaseURL: "https://account.example.org/house"},
			"mqtt://account.example.org:PORT", false,
		},
		"on this machine where nobody said more": {
			appOptions{Listen: listenOptions{Account: "0.0.0.0:0", Broker: "0.0.0.0:0", BaseFlag: "base-url"}}, "mqtt://127.0.0.1:PORT", true,
		},
		"where the command line says": {
			appOptions{
				Listen: listenOptions{Account: "127.0.0.1:0", Broker: "0.0.0.0:0"}, BaseURL: "http://account.example.org",
				HubBrokers: []string{"mqtts://broker.example.org:8883", "mqtt://10.0.0.9:1883"},
			},
			"mqtts://broker.example.org:8883 mqtt://10.0.0.9:1883", false,
		},
		"at another broker": {
			appOptions{Listen: listenOptions{Account: "127.0.0.1:0"}, Brokers: []string{"mqtt://127.0.0.1:1"}, HubBrokers: []string{"mqtt://10.0.0.9:1883"}},
			"mqtt://10.0.0.9:1883", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, log := served(t, c.o)
			client, err := v1.New(a.accountURL())
			ok(t, err)
			call := func(token, method string, params, result any) {
				t.Helper()
				ok(t, client.Call(t.Context(), home.NewSecret(token), method, params, result))
			}
			const pw = "a-Password-of-1"
			call("", "register", map[string]string{"email": "anna@example.org", "password": pw}, nil)
			var in, out struct{ Token, Pairing string }
			call("", "login", map[string]string{"appType": "rekeyd_Web", "cloudUserName": "anna@example.org", "cloudPassword": pw, "terminalUUID": ""}, &in)
			call(in.Token, "createPairing", struct{}{}, &out)
			p, err := pairing.Parse(out.Pairing)
			ok(t, err)
			want := c.want
			if a.broker != nil {
				_, port, err := net.SplitHostPort(strings.TrimPrefix(a.brokers[0], "mqtt://"))
				ok(t, err)
				want = strings.ReplaceAll(want, "PORT", port)
			}
			if got := strings.Join(p.Brokers, " "); got != want {
				t.Errorf("hubs are told %s, want %s", got, want)
			}
			if warned := strings.Contains(log.String(), "links in mails open on this machine only"); warned != c.warn {
				t.Errorf("warned: %v\n%s", warned, log)
			}
		})
	}
}

func TestALinkFromAMailSaysWhoseServiceItIs(t *testing.T) {
	for link, want := range map[string]string{
		"http://127.0.0.1:7354/reset#t=ABCD":                 "http://127.0.0.1:7354 ABCD",
		"https://account.example.org/house/activate#t=AB-CD": "https://account.example.org/house AB-CD",
		"https://account.example.org#t=ABCD":                 "https://account.example.org ABCD",
		"https://account.example.org/reset":                  "",
		"https://account.example.org/reset?t=ABCD":           "",
		"https://account.example.org/reset#t=":               "",
		"https://account.example.org/reset#t=%zz":            "",
	} {
		base, token, err := splitLink(link)
		if got := base + " " + token.Reveal(); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%s: %s, %v", link, got, err)
		}
	}
}
