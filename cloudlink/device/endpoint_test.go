package device_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/cloudlink/device"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestMain(m *testing.M) {
	// A server of net/http that refuses a request before it has read it lingers for half a second, which Close does not
	// wait for.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, k device.Keeper) *device.Device {
	t.Helper()
	d, err := device.New(device.Options{
		State: k, Kind: home.Bulb, Log: slog.New(slog.DiscardHandler), Listen: "127.0.0.1:0", Unannounced: true,
	})
	must(t, err)
	serve(t, d)
	return d
}

// serve runs a device until the test ends.
func serve(t testing.TB, d *device.Device) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
		http.DefaultClient.CloseIdleConnections()
	})
}

func post(t *testing.T, d *device.Device, body io.Reader) (int, string) {
	t.Helper()
	resp, err := http.Post("http://"+d.Addr().String()+wire.EndpointPath, "application/jose", body)
	must(t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(raw)
}

func TestTheEndpointAcceptsMessagesToItselfOnly(t *testing.T) {
	d := run(t, &device.Volatile{})
	hub, err := wire.NewIdentity(wire.RoleHub, wire.NewSeed(), wire.NewSeed())
	must(t, err)
	signed := func(to string, b wire.Body) io.Reader {
		raw, err := hub.Sign(&wire.Message{To: to, Body: b})
		must(t, err)
		return bytes.NewReader(raw)
	}
	probe := &wire.Probe{Nonce: wire.NewNonce()}
	for name, c := range map[string]struct {
		body io.Reader
		want int
	}{
		"nothing":                 {strings.NewReader(""), 400},
		"no JSON":                 {strings.NewReader("hello"), 400},
		"no message":              {strings.NewReader(`{"type":"probe"}`), 400},
		"a message to another":    {signed("rk-other", probe), 400},
		"a message for an inbox":  {signed(string(d.ID()), &wire.Hello{Account: "a"}), 400},
		"a message of 65 KiB":     {strings.NewReader(strings.Repeat("x", 65<<10)), 413},
		"a probe":                 {signed(string(d.ID()), probe), 200},
		"a join that is not ours": {signed(string(d.ID()), &wire.Join{Sign: hub.Keys.Sign, Sealed: []byte("x")}), 200},
	} {
		if got, answer := post(t, d, c.body); got != c.want {
			t.Errorf("%s: status %d %s, want %d", name, got, answer, c.want)
		}
	}
	resp, err := http.Get("http://" + d.Addr().String() + wire.EndpointPath)
	must(t, err)
	must(t, resp.Body.Close())
	if resp.StatusCode != 405 {
		t.Errorf("GET: %d", resp.StatusCode)
	}
	if held, _ := d.Holds(); held != 0 {
		t.Error("it has joined somebody")
	}
}

func TestASlowClientDelaysNoOtherAtTheEndpoint(t *testing.T) {
	d := run(t, &device.Volatile{})
	for range 50 { // each sends a little and then nothing
		c, err := net.Dial("tcp", d.Addr().String())
		must(t, err)
		defer c.Close()
		_, err = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", wire.EndpointPath)
		must(t, err)
	}
	began := time.Now()
	if got, _ := post(t, d, strings.NewReader("hello")); got != 400 || time.Since(began) > 5*time.Second {
		t.Errorf("status %d after %v", got, time.Since(began))
	}
}

func TestTheKeysSurviveARestart(t *testing.T) {
	f := device.File(filepath.Join(t.TempDir(), "state"))
	first := run(t, f)
	if again := run(t, f); again.ID() != first.ID() {
		t.Error("another device")
	}
	st, err := os.Stat(string(f))
	must(t, err)
	if st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", st.Mode())
	}
	must(t, os.WriteFile(string(f), []byte(`{"SignSeed":`), 0o600))
	_, err = device.New(device.Options{
		State: f, Kind: home.Bulb, Log: slog.New(slog.DiscardHandler), Listen: "127.0.0.1:0",
	})
	if !errors.Is(err, home.ErrCorrupt) {
		t.Errorf("%v, want home.ErrCorrupt", err)
	}
}

func TestNewChecksAllOptions(t *testing.T) {
	_, err := device.New(device.Options{Kind: "toaster"})
	if err == nil || !strings.Contains(err.Error(), "state and log") || !strings.Contains(err.Error(), "toaster") {
		t.Errorf("%v", err)
	}
}
