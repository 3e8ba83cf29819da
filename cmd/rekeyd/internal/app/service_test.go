package app

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account/mail"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// logBuffer keeps what was logged so far.
type logBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// testServiceOptions are those of a service on free ports that hashes fast and needs no activation.
func testServiceOptions(t *testing.T) (ServiceOptions, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	o := ServiceOptions{
		State:  t.TempDir(),
		Listen: "127.0.0.1:0",
		Broker: "127.0.0.1:0",
		Log:    slog.New(slog.NewTextHandler(log, nil)),
	}
	o.Policy = account.DefaultPolicy()
	o.Policy.Activation, o.Policy.HashMemory, o.Policy.HashTime = false, 64, 1
	o.Mail = mail.Folder{Dir: filepath.Join(o.State, "mail"), From: "rekeyd@localhost.localdomain"}
	return o, log
}

// runService runs a service until the test ends.
func runService(t *testing.T, o ServiceOptions) *Service {
	t.Helper()
	s, err := NewService(o)
	ok(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		// It ends although a client is connected and silent.
		idle, err := net.Dial("tcp", s.listener.dialable())
		ok(t, err)
		defer idle.Close()
		stop()
		select {
		case err := <-ended:
			ok(t, err)
		case <-time.After(time.Minute):
			t.Error("it runs a minute after its context ended")
		}
		s.Close()
	})
	return s
}

// TestHubsGetTheURLOfTheBroker reads the pairing word of a hub.
func TestHubsGetTheURLOfTheBroker(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*ServiceOptions)
		want string // PORT is the embedded broker's
		warn bool   // that links in mails do not open elsewhere
	}{
		"by default": {func(*ServiceOptions) {}, "mqtt://127.0.0.1:PORT", false},
		"at the host of the base URL": {
			func(o *ServiceOptions) { o.Broker, o.BaseURL = "0.0.0.0:0", "https://account.example.org/house" },
			"mqtt://account.example.org:PORT", false,
		},
		"on this machine without a base URL": {
			func(o *ServiceOptions) { o.Listen, o.Broker, o.BaseFlag = "0.0.0.0:0", "0.0.0.0:0", "--base-url" },
			"mqtt://127.0.0.1:PORT", true,
		},
		"where the command line names it": {
			func(o *ServiceOptions) {
				o.Broker, o.BaseURL = "0.0.0.0:0", "http://account.example.org"
				o.HubBrokers = []string{"mqtts://broker.example.org:8883", "mqtt://10.0.0.9:1883"}
			},
			"mqtts://broker.example.org:8883 mqtt://10.0.0.9:1883", false,
		},
		"at another broker": {
			func(o *ServiceOptions) {
				o.Brokers, o.HubBrokers = []string{"mqtt://127.0.0.1:1"}, []string{"mqtt://10.0.0.9:1883"}
			},
			"mqtt://10.0.0.9:1883", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, log := testServiceOptions(t)
			c.set(&o)
			s := runService(t, o)
			client, err := v1.New(s.URL())
			ok(t, err)
			call := func(token, method string, params, result any) {
				t.Helper()
				ok(t, client.Call(t.Context(), home.NewSecret(token), method, params, result))
			}
			const pw = "a-Password-of-1"
			call("", "register", map[string]string{"email": "anna@example.org", "password": pw}, nil)
			var in, out struct{ Token, Pairing string }
			call("", "login", map[string]string{
				"appType": Web.AppType, "cloudUserName": "anna@example.org", "cloudPassword": pw, "terminalUUID": "",
			}, &in)
			call(in.Token, "createPairing", struct{}{}, &out)
			p, err := pairing.Parse(out.Pairing)
			ok(t, err)
			want := c.want
			if s.broker != nil {
				_, port, err := net.SplitHostPort(s.brokerListener.addr)
				ok(t, err)
				want = strings.ReplaceAll(want, "PORT", port)
			}
			if got := strings.Join(wire.URLs(p.Brokers), " "); got != want {
				t.Errorf("hubs get %s, want %s", got, want)
			}
			if warned := strings.Contains(log.String(), "links in mails open on this machine only"); warned != c.warn {
				t.Errorf("warned: %v\n%s", warned, log)
			}
		})
	}
}

func TestALinkFromAMailNamesItsService(t *testing.T) {
	for link, want := range map[string]string{
		"http://127.0.0.1:7354/reset#t=ABCD":                 "http://127.0.0.1:7354 ABCD",
		"https://account.example.org/house/activate#t=AB-CD": "https://account.example.org/house AB-CD",
		"https://account.example.org#t=ABCD":                 "https://account.example.org ABCD",
		"https://account.example.org/reset":                  "",
		"https://account.example.org/reset?t=ABCD":           "",
		"https://account.example.org/reset#t=":               "",
		"https://account.example.org/reset#t=%zz":            "",
	} {
		base, token, err := SplitLink(link)
		if got := base + " " + token.Reveal(); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%s: %s, %v", link, got, err)
		}
	}
}
