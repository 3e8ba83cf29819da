package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/rekeyd/rekeyd/cloudlink/device"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// native is a device that speaks the link itself. It has joined no account yet.
type native struct {
	spec  Spec
	dial  func(addr string) (net.Conn, error)
	log   *slog.Logger
	state device.Volatile // survives being switched off

	mu  sync.Mutex // guards both
	dev *device.Device
	lit bool // what an app has switched it to
}

func newNative(o Options, s Spec) *native { return &native{spec: s, dial: o.Dial, log: o.Log} }

// plug starts the device of cloudlink/device, the code that makers would use, at the device's endpoint.
func (n *native) plug() (socket, error) {
	l, err := n.spec.open(netip.AddrPortFrom(n.spec.Addr, home.Native.Port()))
	if err != nil {
		return nil, err
	}
	model := n.spec.Model
	if model == "" {
		model = "sim-" + string(n.spec.Kind)
	}
	d, err := device.New(device.Options{
		State: &n.state, Kind: n.spec.Kind, Model: model, Name: n.spec.Name, Log: n.log, Listener: l, Unannounced: true,
		Answer: n.answer, Dial: n.dial,
	})
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dev = d
	return &nativeSocket{Listener: l, dev: d, log: n.log}, nil
}

// answer answers an app: {"set":{"on":true}} switches, and both that and {"get":{}} return the state.
func (n *native) answer(_ context.Context, request []byte) ([]byte, error) {
	var r struct {
		Set *struct{ On bool }
	}
	if err := json.Unmarshal(request, &r); err != nil {
		return []byte(`{"error":"not understood"}`), nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if r.Set != nil {
		n.lit = r.Set.On
	}
	return json.Marshal(map[string]any{"name": n.spec.Name, "kind": n.spec.Kind, "on": n.lit})
}

func (n *native) device() *device.Device {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dev
}

func (n *native) id() home.DeviceID { return n.device().ID() }

func (n *native) port() uint16 { return home.Native.Port() }

func (n *native) announcement() announcement {
	id := string(n.id())
	return announcement{
		instance: id, service: device.Service + ".local.", host: id + ".local.",
		addr: n.spec.Addr, port: home.Native.Port(), txt: n.device().TXT(),
	}
}

// checkNative returns the errors of a spec for a native device.
func checkNative(s Spec) error {
	if s.Username != "" || !s.Password.IsZero() {
		return fmt.Errorf("field %q: a native device holds no password: it joins an account through its hub", "username")
	}
	if s.Locks != 0 {
		return fmt.Errorf("field %q: a native device knows no sign-in", "locks")
	}
	if len(s.Defects) != 0 {
		return fmt.Errorf("field %q: a native device has none", "defects")
	}
	return nil
}

func (n *native) epochs() (held, signedIn home.Epoch) { return n.device().Holds() }

// nativeSocket is a native device that is on.
type nativeSocket struct {
	net.Listener
	dev *device.Device
	log *slog.Logger
}

func (s *nativeSocket) serve(ctx context.Context) {
	if err := s.dev.Run(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("simulated device ended", "err", err)
	}
}
