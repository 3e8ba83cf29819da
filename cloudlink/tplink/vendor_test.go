package tplink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/cloudlink/tplink"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const email = "Anna@example.org"

// vendor is a cloud as its clients know it, with one account.
type vendor struct {
	*httptest.Server
	away *httptest.Server // another region, where the account is; nil for none

	mu       sync.Mutex // guards the fields below
	password string
	factor   bool
	code     string
	token    string
	refresh  string
	turn     int
	locked   bool
	garbage  bool
	refuses  int // the next calls, with a code of a token that has ended
	calls    []string
	devices  []map[string]any
}

func newVendor(t *testing.T) *vendor {
	t.Helper()
	v := &vendor{password: "first"}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

func (v *vendor) set(f func()) { v.mu.Lock(); defer v.mu.Unlock(); f() }

// count returns how often a method was called since the last count, and forgets it.
func (v *vendor) count(method string) (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, c := range v.calls {
		if c == method {
			n++
		}
	}
	v.calls = nil
	return n
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var q struct {
		Method string
		Params map[string]any
	}
	if json.NewDecoder(r.Body).Decode(&q) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	v.calls = append(v.calls, q.Method)
	answer := func(code int, result any) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"error_code": code, "msg": fmt.Sprint("about ", q.Params["cloudPassword"]), "result": result,
		})
	}
	if v.garbage {
		_, _ = io.WriteString(w, "<html>")
		return
	}
	signIn := func() {
		v.turn++
		v.token, v.refresh = fmt.Sprint("token-canary-", v.turn), fmt.Sprint("refresh-canary-", v.turn)
		answer(0, map[string]any{"token": v.token, "refreshToken": v.refresh, "email": email})
	}
	if v.refuses > 0 {
		v.refuses--
		answer(-20655, nil)
		return
	}
	switch q.Method {
	case "getAccountStatusAndUrl":
		to := v.URL
		if v.away != nil {
			to = v.away.URL
		}
		answer(0, map[string]any{"appServerUrl": to})
	case "login":
		switch {
		case q.Params["terminalUUID"] == "" || q.Params["appType"] == "":
			answer(-20104, nil)
		case v.locked:
			answer(-20661, nil)
		case q.Params["cloudPassword"] != v.password:
			answer(-20601, nil)
		case v.factor:
			answer(-20677, map[string]any{"MFAProcessId": "process-1", "supportedMFATypes": []int{1, 2}})
		default:
			signIn()
		}
	case "getEmailVC4TerminalMFA":
		v.code = "123456"
		answer(0, nil)
	case "checkMFACodeAndLogin":
		if q.Params["code"] != v.code || q.Params["MFAProcessId"] != "process-1" {
			answer(-20601, nil)
			return
		}
		signIn()
	case "refreshToken":
		if q.Params["refreshToken"] != v.refresh || v.refresh == "" {
			answer(-20655, nil)
			return
		}
		v.turn++
		v.token = fmt.Sprint("token-canary-", v.turn)
		answer(0, map[string]any{"token": v.token})
	case "getDeviceList":
		if r.URL.Query().Get("token") != v.token || v.token == "" {
			answer(-20651, nil)
			return
		}
		answer(0, map[string]any{"deviceList": v.devices})
	default:
		answer(-20107, nil)
	}
}

// hub is a store and the provider over it.
type hub struct {
	*tplink.Cloud
	store *localstore.Store
	log   *bytes.Buffer
}

func newHub(t *testing.T) *hub { return newHubEvery(t, 20*time.Millisecond) }

func newHubEvery(t *testing.T, every time.Duration) *hub {
	t.Helper()
	h := &hub{log: &bytes.Buffer{}}
	var err error
	if h.store, err = localstore.Open(localstore.Options{
		Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler),
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.store.Close() })
	log := slog.New(slog.NewTextHandler(&locked{w: h.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if h.Cloud, err = tplink.New(tplink.Options{Store: h.store, Log: log, Every: every}); err != nil {
		t.Fatal(err)
	}
	return h
}

type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.w.Write(p) }

func (h *hub) login(t *testing.T, v *vendor, password, code string) (home.Epoch, error) {
	t.Helper()
	e, err := h.Login(t.Context(), tplink.Login{URL: v.URL, Email: email, Password: home.NewSecret(password), Code: code})
	if err != nil && strings.Contains(err.Error(), password) {
		t.Errorf("a password in %v", err)
	}
	return e, err
}

// run runs the provider until the test ends.
func (h *hub) run(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-done
		if strings.Contains(h.log.String(), "canary") || strings.Contains(h.log.String(), "first") {
			t.Errorf("a secret in the log: %s", h.log)
		}
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 6000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond) // polls what runs beside
	}
	t.Fatalf("never: %s", what)
}
