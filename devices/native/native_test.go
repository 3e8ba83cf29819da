package native_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/drivertest"
	"github.com/rekeyd/rekeyd/devices/native"
)

// world is an account with its service, whose word every device believes.
type world struct {
	hub, service *wire.Identity
	account      home.Account
	creds        []home.Credential // newest first
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{hub: identity(t, wire.RoleHub), service: identity(t, wire.RoleService)}
	first := w.service.SignNotice(wire.Notice{Account: "acc-1", Epoch: 1, At: 1, Cause: "registered", Via: "web"})
	second := w.service.SignNotice(
		wire.Notice{Account: "acc-1", Epoch: 2, At: 2, Cause: "reset", Via: "kasa", Prev: first.Hash()},
	)
	w.account = home.Account{
		ID: "acc-1", Email: "anna@example.org", Epoch: 2, NoticeEpoch: 2, Notice: second.Hash(), NoticeJSON: second.JWS(),
		ServiceKey: w.service.Keys.Sign, ServiceSeal: w.service.Keys.Seal, Brokers: []string{"mqtt://127.0.0.1:1"},
	}
	for _, e := range []home.Epoch{2, 1} {
		w.creds = append(w.creds, home.Credential{
			Epoch: e, Username: "anna@example.org", Password: home.NewSecret("a password of anna " + string(rune('0'+e))),
			EpochSecret: home.SecretBytes(wire.NewSeed()),
		})
	}
	return w
}

func identity(t *testing.T, r wire.Role) *wire.Identity {
	t.Helper()
	id, err := wire.NewIdentity(r, wire.NewSeed(), wire.NewSeed())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// fake is a device that speaks through its endpoint as in cloudlink/PROTOCOL.md. Its way to the account service is as
// short as can be: informed of an epoch by a notice that the service has signed, it has that epoch's grant.
type fake struct {
	w    *world
	id   *wire.Identity
	addr netip.AddrPort

	mu      sync.Mutex // guards the fields below
	account string
	epoch   home.Epoch
	opened  func([]byte)
	deaf    bool // takes notices and does nothing
	srv     *http.Server
	done    chan struct{}
}

func newFake(t *testing.T, w *world) *fake {
	t.Helper()
	f := &fake{w: w, id: identity(t, wire.RoleDevice)}
	if err := f.PowerOn(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.PowerOff)
	return f
}

func (f *fake) Seen() home.Device {
	return home.Device{
		ID:       home.DeviceID(f.id.Name),
		Name:     "door",
		Kind:     home.Camera,
		Protocol: home.Native,
		Addr:     f.addr,
		Keys:     []string{"rk:" + f.id.Name},
	}
}

func (f *fake) Hold(s home.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch s {
	case home.Blank:
		f.account, f.epoch = "", 0
	case home.Stale:
		f.account, f.epoch = string(f.w.account.ID), 1
	case home.ForeignHeld:
		f.account, f.epoch = "acc-of-bob", 1
	}
}

func (f *fake) Holds() home.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.account == "":
		return home.Blank
	case f.account != string(f.w.account.ID):
		return home.ForeignHeld
	case f.epoch == 2:
		return home.Current
	}
	return home.Stale
}

func (f *fake) PowerOn() error {
	addr := "127.0.0.1:0"
	if f.addr.IsValid() {
		addr = f.addr.String()
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	f.addr = netip.MustParseAddrPort(l.Addr().String())
	f.srv, f.done = &http.Server{Handler: http.HandlerFunc(f.door)}, make(chan struct{})
	go func(srv *http.Server, done chan struct{}) { _ = srv.Serve(l); close(done) }(f.srv, f.done)
	return nil
}

func (f *fake) PowerOff() {
	if f.srv != nil {
		_ = f.srv.Close()
		<-f.done
		f.srv = nil
	}
}

// Opened implements drivertest.Opener: a message is signed and not encrypted, but a join is sealed.
func (f *fake) Opened(to func([]byte)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened = to
}

func (f *fake) door(rw http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	m, err := wire.ParseMessage(raw)
	if err != nil || r.URL.Path != wire.EndpointPath {
		http.Error(rw, "no", http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.opened != nil {
		f.opened([]byte(fmt.Sprintf("%+v", m.Body)))
	}
	var answer wire.Body = &wire.Done{}
	switch b := m.Body.(type) {
	case *wire.Probe:
		s := &wire.Statement{
			Keys: f.id.Keys, Kind: "camera", Model: "Fake 1", Name: "door", Account: f.account,
			Epoch: uint64(f.epoch), SignedIn: uint64(f.epoch),
		}
		for _, c := range f.w.creds {
			if c.Epoch == f.epoch {
				s.Held = wire.HeldProof(c.EpochSecret, f.account, f.id.Name, s.Epoch, b.Nonce)
			}
		}
		answer = s
	case *wire.Join:
		plain, err := f.id.Open(wire.JoinInfo(m.From, f.id.Name), b.Sealed)
		if f.opened != nil {
			f.opened(plain)
		}
		var j wire.Joined
		if err != nil || m.Verify(wire.Keys{Sign: b.Sign}, f.id.Name) != nil || json.Unmarshal(plain, &j) != nil ||
			j.Notice.Verify(j.Service, j.Account) != nil {
			answer = &wire.Done{Code: wire.CodeForged}
			break
		}
		if f.account != "" && f.account != j.Account {
			answer = &wire.Done{Code: wire.CodeForeign}
			break
		}
		if f.account == "" { // else it receives brokers only
			f.account, f.epoch = j.Account, home.Epoch(j.Notice.Epoch)
		}
	case *wire.Passed:
		if b.Notice.Verify(f.w.service.Keys, f.account) == nil && !f.deaf {
			f.epoch = home.Epoch(b.Notice.Epoch)
		}
	}
	out, err := f.id.Sign(&wire.Message{Re: m.ID, To: m.From, At: time.Now().UnixMilli(), Body: answer})
	if err != nil {
		http.Error(rw, "no", http.StatusInternalServerError)
		return
	}
	_, _ = rw.Write(out)
}

func newDriver(t *testing.T, w *world) *native.Driver {
	t.Helper()
	d, err := native.New(native.Options{Identity: w.hub, Patience: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (w *world) candidates() home.Candidates {
	return home.Candidates{Account: w.account, Credentials: w.creds}
}

func TestDriverKeepsThePromisesOfEveryDriver(t *testing.T) {
	w := newWorld(t)
	drivertest.Run(t, drivertest.Subject{
		New: func(t *testing.T, n int) (drivertest.Driver, []drivertest.Device) {
			var ds []drivertest.Device
			for range n {
				ds = append(ds, newFake(t, w))
			}
			return newDriver(t, w), ds
		},
		Candidates: w.candidates, Secretless: true,
	})
}

func TestWhatADeviceClaimsIsNotWhatItHolds(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		change func(*wire.Statement)
		want   home.State
	}{
		"as it is":                       {func(*wire.Statement) {}, home.Stale},
		"a newer epoch, the older proof": {func(s *wire.Statement) { s.Epoch = 2 }, home.Mismatch},
		"no proof":                       {func(s *wire.Statement) { s.Held = nil }, home.Mismatch},
		"an unknown epoch":               {func(s *wire.Statement) { s.Epoch = 9 }, home.Stale},
		"the last epoch there is":        {func(s *wire.Statement) { s.Epoch = 1<<64 - 1 }, home.Stale},
		"another account":                {func(s *wire.Statement) { s.Account = "acc-2" }, home.ForeignHeld},
	} {
		t.Run(name, func(t *testing.T) {
			id := identity(t, wire.RoleDevice)
			l := serve(t, id, func(m *wire.Message) wire.Body {
				s := &wire.Statement{Keys: id.Keys, Kind: "plug", Account: "acc-1", Epoch: 1}
				s.Held = wire.HeldProof(w.creds[1].EpochSecret, "acc-1", id.Name, 1, m.Body.(*wire.Probe).Nonce)
				c.change(s)
				return s
			}, nil)
			f, err := newDriver(t, w).Probe(t.Context(), home.Device{ID: home.DeviceID(id.Name), Addr: l}, w.candidates())
			if err != nil || f.Verdict.State != c.want {
				t.Errorf("found %v, %v; want %v", f.Verdict, err, c.want)
			}
		})
	}
}

// serve answers at an endpoint as the test chooses; tamper may change the answer on its way.
func serve(
	t *testing.T, id *wire.Identity, answer func(*wire.Message) wire.Body, tamper func(request, answer []byte) []byte,
) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		m, err := wire.ParseMessage(raw)
		if err != nil {
			http.Error(rw, "no", http.StatusBadRequest)
			return
		}
		out, _ := id.Sign(&wire.Message{Re: m.ID, To: m.From, At: time.Now().UnixMilli(), Body: answer(m)})
		if tamper != nil {
			out = tamper(raw, out)
		}
		_, _ = rw.Write(out)
	})}
	done := make(chan struct{})
	go func() { _ = srv.Serve(l); close(done) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestWhoeverAnswersMustBeTheDevice(t *testing.T) {
	w := newWorld(t)
	dev, other := identity(t, wire.RoleDevice), identity(t, wire.RoleDevice)
	state := func(id *wire.Identity) func(*wire.Message) wire.Body {
		return func(m *wire.Message) wire.Body {
			s := &wire.Statement{Keys: id.Keys, Kind: "plug", Account: "acc-1", Epoch: 2}
			s.Held = wire.HeldProof(w.creds[0].EpochSecret, "acc-1", id.Name, 2, m.Body.(*wire.Probe).Nonce)
			return s
		}
	}
	var recorded []byte
	for name, c := range map[string]struct {
		addr netip.AddrPort
		want home.State
	}{
		"the device": {
			serve(t, dev, state(dev), func(_, a []byte) []byte { recorded = a; return a }),
			home.Current,
		},
		"another device":        {serve(t, other, state(other), nil), home.Mismatch},
		"one that has its keys": {serve(t, other, state(dev), nil), home.Mismatch},
		"a bit that was flipped": {
			serve(t, dev, state(dev), func(_, a []byte) []byte { a[len(a)-10] ^= 1; return a }),
			home.Mismatch,
		},
		"no JSON": {
			serve(t, dev, state(dev), func(_, _ []byte) []byte { return []byte("<html>") }),
			home.Mismatch,
		},
		"megabytes": {
			serve(t, dev, state(dev), func(_, _ []byte) []byte { return make([]byte, 4<<20) }),
			home.Mismatch,
		},
	} {
		f, err := newDriver(t, w).Probe(t.Context(), home.Device{ID: home.DeviceID(dev.Name), Addr: c.addr}, w.candidates())
		if err != nil || f.Verdict.State != c.want {
			t.Errorf("%s: found %v, %v; want %v", name, f.Verdict, err, c.want)
		}
	}
	replayed := serve(t, dev, state(dev), func(_, _ []byte) []byte { return recorded })
	f, err := newDriver(t, w).Probe(t.Context(), home.Device{ID: home.DeviceID(dev.Name), Addr: replayed}, w.candidates())
	if err != nil || f.Verdict.State != home.Mismatch {
		t.Errorf("a replayed statement: found %v, %v", f.Verdict, err)
	}
}

func TestADeviceThatDoesNotFollowIsWaitedForAndReported(t *testing.T) {
	w := newWorld(t)
	f := newFake(t, w)
	f.Hold(home.Stale)
	f.deaf = true
	began := time.Now()
	err := newDriver(t, w).Rekey(t.Context(), f.Seen(), home.Move{
		Account: w.account, From: w.creds[1], To: w.creds[0], Terms: home.Terms{Bound: true},
	})
	if !errors.Is(err, home.ErrOffline) || time.Since(began) > 10*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}
