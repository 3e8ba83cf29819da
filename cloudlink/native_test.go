package cloudlink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/device"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// native is a device that speaks the link itself.
type native struct {
	t    *testing.T
	d    *device.Device
	keys wire.Keys
	stop func()
}

func startNative(t *testing.T, h *house, state device.Keeper) *native {
	t.Helper()
	d, err := device.New(device.Options{
		State: state, Kind: home.Plug, Model: "m", Name: "lamp", Log: h.log.With("part", "device"), Listen: "127.0.0.1:0",
		Unannounced: true,
	})
	must(t, err)
	n := &native{t: t, d: d}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	var once sync.Once
	n.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			http.DefaultClient.CloseIdleConnections()
		})
	}
	t.Cleanup(n.stop)
	id, err := wire.NewIdentity(wire.RoleHub, wire.NewSeed(), wire.NewSeed())
	must(t, err)
	n.keys = n.post(id, &wire.Probe{Nonce: wire.NewNonce()}).(*wire.Statement).Keys
	return n
}

// post sends a message to the endpoint, and returns the verified answer.
func (n *native) post(as *wire.Identity, b wire.Body) wire.Body {
	n.t.Helper()
	m := &wire.Message{To: string(n.d.ID()), At: time.Now().UnixMilli(), Body: b}
	raw, err := as.Sign(m)
	must(n.t, err)
	resp, err := http.Post("http://"+n.d.Addr().String()+wire.EndpointPath, "application/jose", bytes.NewReader(raw))
	must(n.t, err)
	defer resp.Body.Close()
	raw, err = io.ReadAll(resp.Body)
	must(n.t, err)
	got, err := wire.ParseMessage(raw)
	must(n.t, err)
	if s, ok := got.Body.(*wire.Statement); ok {
		n.keys = s.Keys
	}
	must(n.t, got.Verify(n.keys, as.Name))
	if got.Re != m.ID {
		n.t.Fatal("answers another message")
	}
	return got.Body
}

// join has the device join an account, and returns the code of its answer.
func (n *native) join(as *wire.Identity, a home.Account, brokers []string) string {
	n.t.Helper()
	notice, err := wire.ParseNotice(a.NoticeJSON)
	must(n.t, err)
	plain, err := json.Marshal(wire.Joined{
		Account: string(a.ID), Service: wire.Keys{Sign: a.ServiceKey, Seal: a.ServiceSeal}, Brokers: wire.Brokers(brokers),
		Notice: notice,
	})
	must(n.t, err)
	n.post(as, &wire.Probe{Nonce: wire.NewNonce()}) // its sealing key changes
	sealed, err := n.keys.SealTo(wire.JoinInfo(as.Name, string(n.d.ID())), plain)
	must(n.t, err)
	return n.post(as, &wire.Join{Sign: as.Keys.Sign, Sealed: sealed}).(*wire.Done).Code
}

func (n *native) holds(e home.Epoch) {
	n.t.Helper()
	eventually(n.t, time.Minute, "the device is signed in", func() bool {
		held, signedIn := n.d.Holds()
		return held == e && signedIn == e
	})
}

func TestANativeDeviceFollowsByItself(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	b := h.hub(nil)
	b.enrol()
	state := device.File(filepath.Join(t.TempDir(), "state"))
	n := startNative(t, h, state)
	id := n.d.ID()
	a, err := b.store.Account()
	must(t, err)
	if code := n.join(b.id, a, h.brokers()); code != "" {
		t.Fatalf("join refused: %s", code)
	}
	must(t, b.store.Bind(b.account, []home.Device{{ID: id, Kind: home.Plug, Protocol: home.Native, Name: "lamp"}}))
	b.link.Wake()
	n.holds(1)

	// Another hub, another account: not without a reset of the device.
	stranger, err := wire.NewIdentity(wire.RoleHub, wire.NewSeed(), wire.NewSeed())
	must(t, err)
	if code := n.join(stranger, a, h.brokers()); code != wire.CodeForeign {
		t.Errorf("another hub's join: %q, want %q", code, wire.CodeForeign)
	}
	svc, err := wire.NewIdentity(wire.RoleService, wire.NewSeed(), wire.NewSeed())
	must(t, err)
	other := home.Account{ID: "account2", ServiceKey: svc.Keys.Sign, ServiceSeal: svc.Keys.Seal}
	other.NoticeJSON = svc.SignNotice(wire.Notice{Account: "account2", Epoch: 1, Cause: "registered", Via: "web"}).JWS()
	if code := n.join(b.id, other, h.brokers()); code != wire.CodeForeign {
		t.Errorf("another account's join: %q, want %q", code, wire.CodeForeign)
	}
	other.NoticeJSON = a.NoticeJSON
	if code := n.join(b.id, other, h.brokers()); code != wire.CodeForged {
		t.Errorf("a join with another service's notice: %q, want %q", code, wire.CodeForged)
	}

	h.reset("second-Horse-Battery")
	n.holds(2)
	n.stop() // and while it is off
	h.reset("third-Horse-Battery")
	n = startNative(t, h, state)
	if n.d.ID() != id {
		t.Fatal("another device after a restart")
	}
	n.holds(3)
	eventually(t, time.Minute, "the service lists it as signed in", func() bool { return h.online()[id] })
	probe := &wire.Probe{Nonce: wire.NewNonce()}
	s := n.post(stranger, probe).(*wire.Statement)
	b.waitEpoch(3, time.Minute)
	cs, err := b.store.Credentials(b.account)
	must(t, err)
	if s.Epoch != 3 || s.SignedIn != 3 || !wire.Equal(s.Held, wire.HeldProof(
		cs[0].EpochSecret, s.Account, string(id), 3, probe.Nonce,
	)) {
		t.Errorf("the device states epoch %d, and proves it wrongly or not at all", s.Epoch)
	}

	must(t, b.store.Unbind([]home.DeviceID{id}))
	b.link.Wake()
	eventually(t, time.Minute, "the service has forgotten it", func() bool { _, listed := h.online()[id]; return !listed })
	n.stop() // it asks at its next connect
	n = startNative(t, h, state)
	eventually(t, time.Minute, "the device has left", func() bool {
		return n.post(stranger, probe).(*wire.Statement).Account == ""
	})
	if held, _ := n.d.Holds(); held != 0 {
		t.Error("it left and still holds a secret")
	}
}
