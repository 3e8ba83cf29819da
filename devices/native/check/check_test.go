package check_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/device"
	"github.com/rekeyd/rekeyd/cloudlink/npmtest"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/native/check"
)

// start runs the device of this project, and returns its address and name.
func start(t *testing.T) (addr, name string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d, err := device.New(device.Options{
		State: device.File(filepath.Join(t.TempDir(), "state")), Kind: home.Camera, Model: "Example 1", Name: "front door",
		Log: slog.New(slog.DiscardHandler), Listener: l, Unannounced: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), string(d.ID())
}

func TestTheDeviceOfThisProjectKeepsEveryRule(t *testing.T) {
	addr, name := start(t)
	keepsAll(t, addr, name)
}

// keepsAll checks that a device keeps every rule.
func keepsAll(t *testing.T, addr, name string) {
	t.Helper()
	results, err := check.Run(t.Context(), addr, name)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Errorf("%s: %v", r.Rule, r.Err)
		}
	}
	if len(results) < 18 {
		t.Errorf("%d rules", len(results))
	}
}

// TestADeviceInJavaScriptKeepsEveryRule checks an endpoint that was written from the page, over libraries of others.
func TestADeviceInJavaScriptKeepsEveryRule(t *testing.T) {
	dir := npmtest.Packages(t, filepath.Join("..", "..", "..", "cloudlink", "testdata", "npm"))
	script, err := os.ReadFile(filepath.Join("testdata", "device.js"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "--input-type=module", "-e", string(script), "device")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = in.Close() // it ends by itself
		_ = cmd.Wait()
	}()
	var addr, name string
	if _, err := fmt.Fscan(out, &addr, &name); err != nil {
		t.Fatalf("it does not start: %v", err)
	}
	keepsAll(t, addr, name)
}

// careless is a device whose library checks nothing: it answers each body in the same way.
type careless struct{ id *wire.Identity }

func (c careless) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	m, err := wire.ParseMessage(raw)
	out := &wire.Message{Body: &wire.Done{}, To: "hub-" + strings.Repeat("a", 26), At: 1, Re: wire.NewID()}
	if err == nil {
		out.To, out.Re = m.From, m.ID
		if _, ok := m.Body.(*wire.Probe); ok {
			out.Body = &wire.Statement{Keys: c.id.Keys, Kind: "lawnmower", Account: "mine", Epoch: 1}
		}
	}
	answer, _ := c.id.Sign(out)
	_, _ = w.Write(answer)
}

func TestACarelessDeviceFailsEachRuleThatItBreaks(t *testing.T) {
	id, err := wire.NewIdentity(wire.RoleDevice, wire.NewSeed(), wire.NewSeed())
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(careless{id})
	defer srv.Close()
	results, err := check.Run(t.Context(), srv.Listener.Addr().String(), id.Name)
	if err != nil {
		t.Fatal(err)
	}
	passes := map[string]bool{}
	for _, r := range results {
		if r.Err == nil {
			passes[r.Rule] = true
		}
	}
	// It states its own keys, reads signed messages, and answers a notice; everything else it does wrong.
	for _, rule := range []string{
		"a probe is answered", "the name and the keys", "a member that the device",
		"a notice of a service",
	} {
		found := false
		for r := range passes {
			found = found || strings.HasPrefix(r, rule)
		}
		if !found {
			t.Errorf("it fails: %s", rule)
		}
	}
	if len(passes) != 4 || len(results) < 18 {
		t.Errorf("of %d rules it keeps %v", len(results), passes)
	}
}

func TestAnotherDeviceAndNoDeviceAreFoundOutAtTheFirstRule(t *testing.T) {
	addr, _ := start(t)
	other, err := wire.NewIdentity(wire.RoleDevice, wire.NewSeed(), wire.NewSeed())
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{addr, "127.0.0.1:1"} {
		if results, err := check.Run(t.Context(), at, other.Name); err != nil || len(results) != 1 || results[0].Err == nil {
			t.Errorf("%s: %+v, %v", at, results, err)
		}
	}
}
