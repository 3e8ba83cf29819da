package device_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/device"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// brittle keeps state as long as there is room.
type brittle struct {
	device.Volatile
	full atomic.Bool
}

var errFull = errors.New("disk full")

func (b *brittle) Save(raw []byte) error {
	if b.full.Load() {
		return errFull
	}
	return b.Volatile.Save(raw)
}

// ask posts a message to the endpoint and returns the answer's body.
func ask(t *testing.T, d *device.Device, as *wire.Identity, b wire.Body) wire.Body {
	t.Helper()
	raw, err := as.Sign(&wire.Message{To: string(d.ID()), At: time.Now().UnixMilli(), Body: b})
	must(t, err)
	status, answer := post(t, d, bytes.NewReader(raw))
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, answer)
	}
	m, err := wire.ParseMessage([]byte(answer))
	must(t, err)
	return m.Body
}

// invite returns a join to an account of a service, over brokers that are not running.
func invite(t *testing.T, d *device.Device, hub, svc *wire.Identity, brokers ...string) *wire.Join {
	t.Helper()
	keys := ask(t, d, hub, &wire.Probe{Nonce: wire.NewNonce()}).(*wire.Statement).Keys
	plain, err := json.Marshal(wire.Joined{
		Account: "acc-1", Service: svc.Keys, Brokers: wire.Brokers(brokers),
		Notice: svc.SignNotice(wire.Notice{Account: "acc-1", Epoch: 1, Cause: "registered", Via: "web"}),
	})
	must(t, err)
	sealed, err := keys.SealTo(wire.JoinInfo(hub.Name, string(d.ID())), plain)
	must(t, err)
	return &wire.Join{Sign: hub.Keys.Sign, Sealed: sealed}
}

func identity(t *testing.T, r wire.Role) *wire.Identity {
	t.Helper()
	id, err := wire.NewIdentity(r, wire.NewSeed(), wire.NewSeed())
	must(t, err)
	return id
}

func TestAStateThatCannotBeSavedChangesNothing(t *testing.T) {
	k := &brittle{}
	d := run(t, k)
	hub, svc := identity(t, wire.RoleHub), identity(t, wire.RoleService)
	account := func() string {
		return ask(t, d, hub, &wire.Probe{Nonce: wire.NewNonce()}).(*wire.Statement).Account
	}
	in := invite(t, d, hub, svc, "mqtt://127.0.0.1:1")
	k.full.Store(true)
	if code := ask(t, d, hub, in).(*wire.Done).Code; code != wire.CodeBusy || account() != "" {
		t.Fatalf("answered %q, of account %q; want %q, of none", code, account(), wire.CodeBusy)
	}
	k.full.Store(false)
	if code := ask(t, d, hub, in).(*wire.Done).Code; code != "" || account() != "acc-1" {
		t.Fatalf("answered %q, of account %q", code, account())
	}
	full := &brittle{}
	full.full.Store(true)
	if _, err := device.New(device.Options{
		State: full, Kind: home.Bulb, Log: slog.New(slog.DiscardHandler), Listen: "127.0.0.1:0",
	}); !errors.Is(err, errFull) {
		t.Errorf("%v: a device whose keys are not kept would be another at the next start", err)
	}
}

func TestAJoinIsForOneDeviceByOneHubAndToRealBrokers(t *testing.T) {
	d, sibling := run(t, &device.Volatile{}), run(t, &device.Volatile{})
	hub, thief, svc := identity(t, wire.RoleHub), identity(t, wire.RoleHub), identity(t, wire.RoleService)
	good := invite(t, d, hub, svc, "mqtt://127.0.0.1:1")
	stolen := &wire.Join{Sign: thief.Keys.Sign, Sealed: good.Sealed}
	flipped := &wire.Join{Sign: hub.Keys.Sign, Sealed: bytes.Clone(good.Sealed)}
	flipped.Sealed[len(flipped.Sealed)-1] ^= 1
	for name, c := range map[string]struct {
		as *wire.Identity
		in *wire.Join
	}{
		"what was sealed by another hub":    {thief, stolen},
		"another hub's keys":                {thief, good},
		"what was sealed to another device": {hub, invite(t, sibling, hub, svc, "mqtt://127.0.0.1:1")},
		"a seal that was flipped":           {hub, flipped},
		"no broker":                         {hub, invite(t, d, hub, svc)},
		"a broker that is none":             {hub, invite(t, d, hub, svc, "mqtt://127.0.0.1:1", "gopher://x")},
	} {
		if code := ask(t, d, c.as, c.in).(*wire.Done).Code; code != wire.CodeForged {
			t.Errorf("%s: answered %q, want %q", name, code, wire.CodeForged)
		}
	}
	if s := ask(t, d, hub, &wire.Probe{Nonce: wire.NewNonce()}).(*wire.Statement); s.Account != "" {
		t.Errorf("it has joined %s", s.Account)
	}
}

func TestAFileIsReplacedAsAWhole(t *testing.T) {
	dir := t.TempDir()
	f := device.File(filepath.Join(dir, "state"))
	if raw, err := f.Load(); raw != nil || err != nil {
		t.Fatalf("%q, %v before anything was saved", raw, err)
	}
	for _, s := range []string{"one", strings.Repeat("two", 1000), "3"} {
		must(t, f.Save([]byte(s)))
		if raw, err := f.Load(); err != nil || string(raw) != s {
			t.Fatalf("%q, %v", raw, err)
		}
	}
	es, err := os.ReadDir(dir)
	must(t, err)
	if len(es) != 1 {
		t.Errorf("%d files are left, want one", len(es))
	}
	if err := device.File(filepath.Join(dir, "no", "state")).Save([]byte("x")); err == nil {
		t.Error("saved where there is no folder")
	}
}

// FuzzEndpoint: every request to the endpoint is answered, and only a sealed and signed invitation makes the device
// join.
func FuzzEndpoint(f *testing.F) {
	d, err := device.New(device.Options{
		State: &device.Volatile{}, Kind: home.Bulb, Log: slog.New(slog.DiscardHandler), Listen: "127.0.0.1:0",
		Unannounced: true,
	})
	must(f, err)
	hub, err := wire.NewIdentity(wire.RoleHub, wire.NewSeed(), wire.NewSeed())
	must(f, err)
	for _, b := range []wire.Body{
		&wire.Probe{Nonce: wire.NewNonce()}, &wire.Join{Sign: hub.Keys.Sign, Sealed: []byte("x")}, &wire.Hello{Account: "a"},
		&wire.Passed{Notice: hub.SignNotice(wire.Notice{Account: "a", Epoch: 1})},
	} {
		raw, err := hub.Sign(&wire.Message{To: string(d.ID()), Body: b})
		must(f, err)
		f.Add(raw)
	}
	f.Add([]byte(`{"to":"` + string(d.ID()) + `","type":"join","body":null}`))
	serve(f, d)
	f.Fuzz(func(t *testing.T, raw []byte) {
		resp, err := http.Post("http://"+d.Addr().String()+wire.EndpointPath, "application/jose", bytes.NewReader(raw))
		if err != nil {
			if len(raw) > 64<<10 {
				return // refused before it was read
			}
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if s := resp.StatusCode; s != 200 && s != 400 && s != 413 {
			t.Errorf("status %d", s)
		}
		if held, signedIn := d.Holds(); held != 0 || signedIn != 0 {
			t.Error("it holds something")
		}
	})
}
