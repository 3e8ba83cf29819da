package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// running is one part on its own, so that a test can end it and run it again.
type running struct {
	part part
	stop context.CancelFunc
	done chan error
}

func (r *running) start() {
	ctx, stop := context.WithCancel(context.Background())
	r.stop, r.done = stop, make(chan error, 1)
	go func(done chan error) { done <- r.part.run(ctx) }(r.done)
}

// end ends the part, which must have run until now.
func (r *running) end(t *testing.T) {
	t.Helper()
	select {
	case err := <-r.done:
		t.Fatalf("part %s ended unasked: %v", r.part.name, err)
	default:
	}
	r.stop()
	select {
	case err := <-r.done:
		if err != nil {
			t.Fatalf("part %s: %v", r.part.name, err)
		}
	case <-time.After(time.Minute):
		t.Fatalf("part %s runs 10 s after its context ended", r.part.name)
	}
}

// testHouse is a hub and a service whose parts run one by one, with an account that the hub is signed in to.
type testHouse struct {
	t        *testing.T
	hub      *Hub
	service  *Service
	api      *v1.Client
	control  *http.Client
	password int
}

const ownerEmail = "anna@example.org"

func (h *testHouse) passwordNow() string { return fmt.Sprintf("Password-Number-%03d", h.password) }

func (h *testHouse) call(method string, params map[string]string) {
	h.t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		err = h.api.Call(h.t.Context(), home.Secret{}, method, params, nil)
		if _, answered := errors.AsType[*v1.Error](err); err == nil || answered {
			break
		}
	}
	ok(h.t, err)
}

// status returns what the control socket answers; ok is false while it does not.
func (h *testHouse) status() (s daemon.Status, ok bool) {
	resp, err := h.control.Get("http://hub/v1/status")
	if err != nil {
		return s, false
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(resp.Body).Decode(&s) == nil
}

// works changes the account's password and waits until the hub has it, which needs every part but the vendor's and the
// page; then it reads the page.
func (h *testHouse) works() {
	h.t.Helper()
	old := h.passwordNow()
	h.password++
	h.call("modifyCloudPassword", map[string]string{
		"cloudUserName": ownerEmail, "oldCloudPassword": old, "newCloudPassword": h.passwordNow(), "appType": Web.AppType,
	})
	var s daemon.Status
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		var answered bool
		if s, answered = h.status(); answered && s.Epoch == home.Epoch(h.password) && s.Link == "up" {
			break
		}
		if time.Now().After(end) {
			h.t.Fatalf("the hub has not received password %d in time: %+v", h.password, s)
		}
	}
	resp, err := http.Get(h.hub.PageURL())
	ok(h.t, err)
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusOK {
		h.t.Fatalf("the page answers %s", resp.Status)
	}
}

func TestEveryPartRunsTwice(t *testing.T) {
	so, log := testServiceOptions(t)
	service, err := NewService(so)
	ok(t, err)
	defer service.Close()
	hub, err := NewHub(HubOptions{
		State: filepath.Join(
			so.State, "hub",
		), Interfaces: []string{"lo"}, Service: service, Listen: "127.0.0.1:0", Log: so.Log,
	})
	ok(t, err)
	defer hub.Close()
	h := &testHouse{t: t, hub: hub, service: service, password: 1}
	h.api, err = v1.New(service.URL())
	ok(t, err)
	h.control = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", hub.control.addr)
		},
	}}
	var all []*running
	for _, p := range slices.Concat(service.parts(), hub.parts()) {
		r := &running{part: p}
		r.start()
		all = append(all, r)
	}
	defer func() {
		for _, r := range slices.Backward(all) {
			r.end(t)
		}
		if t.Failed() {
			t.Log(log)
		}
	}()
	h.call("register", map[string]string{"email": ownerEmail, "password": h.passwordNow()})
	ok(t, hub.Login(t.Context(), daemon.Login{Email: ownerEmail, Password: home.NewSecret(h.passwordNow())}))
	h.works()
	for _, r := range all {
		t.Run(strings.ReplaceAll(r.part.name, " ", "-"), func(t *testing.T) {
			h.t = t
			r.end(t)
			r.start()
			h.works()
		})
	}
}

func TestAFailedPartIsRestartedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var failed, steady []time.Time
		began := time.Now()
		parts := []part{
			{name: "failing", run: func(context.Context) error {
				if failed = append(failed, time.Now()); len(failed) == 4 {
					stop()
				}
				return errors.New("out of order")
			}},
			{name: "steady", run: func(ctx context.Context) error {
				steady = append(steady, time.Now())
				<-ctx.Done()
				return nil
			}},
		}
		ok(t, runParts(ctx, slog.New(slog.DiscardHandler), parts))
		if len(steady) != 1 {
			t.Errorf("the part that did not fail ran %d times", len(steady))
		}
		for i, want := range []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second} {
			if got := failed[i].Sub(began); got != want {
				t.Errorf("run %d began after %v, want %v", i+1, got, want)
			}
		}
	})
}

func TestTheProcessEndsWithTheErrorOfItsEngine(t *testing.T) {
	broken := &home.Error{Op: "read the store", Err: home.ErrCorrupt, Hint: "restore the backup"}
	parts := []part{
		{name: "engine", vital: true, run: func(context.Context) error { return broken }},
		{name: "page", run: func(ctx context.Context) error { <-ctx.Done(); return nil }},
	}
	err := runParts(t.Context(), slog.New(slog.DiscardHandler), parts)
	if !errors.Is(err, home.ErrCorrupt) || home.HintOf(err) != broken.Hint {
		t.Fatalf("error %v, hint %q", err, home.HintOf(err))
	}
}

func TestAListenerIsOpenedAgainAtItsAddress(t *testing.T) {
	l, err := newPort("test", "127.0.0.1:0", "--listen", newConnLimit(0, 100))
	ok(t, err)
	for range 3 {
		open, err := l.open()
		ok(t, err)
		if got := open.Addr().String(); got != l.dialable() {
			t.Errorf("opened at %s, want %s", got, l.dialable())
		}
		if _, err := l.open(); err == nil || !strings.Contains(home.HintOf(err), "--listen") {
			t.Errorf("a port that is taken: %v, hint %q", err, home.HintOf(err))
		}
		ok(t, open.Close())
	}
}
