package account_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/broker"
	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

const (
	email    = "Anna.Owner@example.org"
	password = "first-Horse-Battery"
	second   = "second-Horse-Battery"
)

// spool is a Mailer that keeps what it is given, and can be dead.
type spool struct {
	mu    sync.Mutex // guards both
	dead  bool
	mails []account.Mail
}

func (s *spool) Send(_ context.Context, m account.Mail) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return errors.New("no mail server")
	}
	s.mails = append(s.mails, m)
	return nil
}

func (s *spool) count(subject string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.mails {
		if m.Subject == subject {
			n++
		}
	}
	return n
}

// log is everything that was logged, for the search for secrets.
type log struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// tap is a listener that keeps what goes over its connections.
type tap struct {
	net.Listener
	to *log
}

type tapped struct {
	net.Conn
	to *log
}

func (l tap) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tapped{c, l.to}, nil
}

func (c tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	_, _ = c.to.Write(p[:n])
	return n, err
}

func (c tapped) Write(p []byte) (int, error) {
	_, _ = c.to.Write(p)
	return c.Conn.Write(p)
}

// cloud is the whole cloud end, on sockets of this machine.
type cloud struct {
	t      testing.TB
	dir    string
	policy account.Policy
	s      *account.Service
	api    *v1.Client
	web    *httptest.Server
	broker string
	mail   *spool
	log    *log
	stop   func()

	carried *log // every byte between the broker and its clients
}

func quick() account.Policy {
	p := account.DefaultPolicy()
	p.HashMemory, p.HashTime = 64, 1
	p.ForgotAnswer, p.ForgotPause, p.ForgotPerHour, p.ForgotFrom = 20*time.Millisecond, 0, 1000, 1000
	return p
}

func open(t testing.TB, set func(*account.Policy)) *cloud {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	c := &cloud{t: t, dir: t.TempDir(), policy: quick(), mail: &spool{}, log: &log{}, carried: &log{}}
	if set != nil {
		set(&c.policy)
	}
	c.start()
	t.Cleanup(func() {
		c.stop()
		goleak.VerifyNone(t, ignore)
	})
	return c
}

// start starts broker, service and web server; stop ends them, and they can be started again on the same state.
func (c *cloud) start() {
	t := c.t
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = tap{l, c.carried}
	c.broker = "mqtt://" + l.Addr().String()
	lg := slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.web = httptest.NewUnstartedServer(nil)
	c.s, err = account.New(account.Options{
		Dir: c.dir, BaseURL: "http://" + c.web.Listener.Addr().String(), Brokers: []string{c.broker}, Mail: c.mail, Policy: c.policy, Log: lg,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.web.Config.Handler = c.s.Handler()
	c.web.Start()
	b, err := broker.New(broker.Options{Listener: l, Directory: c.s, Service: c.s.Name(), Log: lg})
	if err != nil {
		t.Fatal(err)
	}
	c.api, err = v1.New(c.web.URL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() {
		if err := b.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	parts.Go(func() {
		if err := c.s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	var once sync.Once
	c.stop = func() {
		once.Do(func() {
			c.web.Close()
			cancel()
			parts.Wait()
			if err := c.s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// call calls the API and returns the error code, 0 for success.
func (c *cloud) call(token, method string, params, result any) v1.Code {
	c.t.Helper()
	err := c.api.Call(c.t.Context(), home.NewSecret(token), method, params, result)
	if e, ok := errors.AsType[*v1.Error](err); ok {
		return e.Code
	}
	if err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
	return 0
}

type p = map[string]any

func (c *cloud) register() {
	c.t.Helper()
	if code := c.call("", "register", p{"email": email, "password": password}, nil); code != 0 {
		c.t.Fatalf("register: %d", code)
	}
}

func (c *cloud) login(pw, app string) (token, refresh string, code v1.Code) {
	c.t.Helper()
	var r struct{ Token, RefreshToken string }
	code = c.call("", "login", p{
		"appType": app, "cloudUserName": email, "cloudPassword": pw, "terminalUUID": "t", "refreshTokenNeeded": true,
	}, &r)
	return r.Token, r.RefreshToken, code
}

func (c *cloud) signIn() string {
	c.t.Helper()
	token, _, code := c.login(password, "Kasa_Android")
	if code != 0 {
		c.t.Fatalf("login: %d", code)
	}
	return token
}

func (c *cloud) pair(token string) pairing.Pairing {
	c.t.Helper()
	var r struct{ Pairing string }
	if code := c.call(token, "createPairing", p{}, &r); code != 0 {
		c.t.Fatalf("createPairing: %d", code)
	}
	w, err := pairing.Parse(r.Pairing)
	if err != nil {
		c.t.Fatal(err)
	}
	return w
}

// eventually waits until ok, for a bounded time.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond) // polls what another process's worth of goroutines does
	}
	t.Fatalf("not in time: %s", what)
}

var tokenIn = regexp.MustCompile(`#t=([A-Z2-7]+)`)

// forgot asks for a reset and returns the token of the mail.
func (c *cloud) forgot(door string) string {
	c.t.Helper()
	n := c.mail.count("Reset your password")
	if code := c.call("", "getResetPasswordEmail", p{"email": strings.ToUpper(email), "door": door}, nil); code != 0 {
		c.t.Fatalf("getResetPasswordEmail: %d", code)
	}
	eventually(c.t, "a reset mail", func() bool { return c.mail.count("Reset your password") > n })
	c.mail.mu.Lock()
	defer c.mail.mu.Unlock()
	for i := len(c.mail.mails) - 1; i >= 0; i-- {
		if m := c.mail.mails[i]; m.Subject == "Reset your password" {
			if m.To != email {
				c.t.Fatalf("mail to %s, want the registered address", m.To)
			}
			return tokenIn.FindStringSubmatch(m.Text)[1]
		}
	}
	return ""
}

func (c *cloud) reset(token, pw string, leaveOut ...string) v1.Code {
	c.t.Helper()
	return c.call("", "resetPassword", p{"token": token, "newPassword": pw, "leaveOut": leaveOut}, nil)
}

// by is a member played by hand.
type by struct {
	t       testing.TB
	c       *cloud
	id      *wire.Identity
	account string
	conn    *mqtt.Conn
	in      chan *wire.Message
	notices chan wire.Notice
	seq     uint64
	up      chan bool
	leave   func()
}

func (c *cloud) member(r wire.Role, accountID string) *by {
	c.t.Helper()
	id, err := wire.NewIdentity(r, wire.NewSeed(), wire.NewSeed())
	if err != nil {
		c.t.Fatal(err)
	}
	return c.connect(id, accountID)
}

// connect connects an identity, which may have been connected before.
func (c *cloud) connect(id *wire.Identity, accountID string) *by {
	c.t.Helper()
	m := &by{
		t: c.t, c: c, id: id, account: accountID, in: make(chan *wire.Message, 1024), notices: make(chan wire.Notice, 64), up: make(chan bool, 8),
		seq: uint64(time.Now().UnixNano()),
	}
	var err error
	m.conn, err = mqtt.New(mqtt.Options{
		Brokers: []string{c.broker}, ClientID: id.Name, Username: id.Name, Password: id.Login(),
		Filters: []string{wire.InboxTopic(id.Name), wire.NoticeTopic(accountID)},
		Receive: m.receive, Up: func(up bool) { m.up <- up }, Log: slog.New(slog.DiscardHandler), MinPause: 10 * time.Millisecond,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = m.conn.Run(ctx)
	}()
	stop := c.stop
	m.leave = func() { cancel(); <-done }
	c.stop = func() { m.leave(); stop() }
	select {
	case <-m.up:
	case <-time.After(10 * time.Second):
		c.t.Fatal("no connection")
	}
	return m
}

func (m *by) receive(msg mqtt.Message) {
	if t, _ := wire.ParseTopic(msg.Topic); t.Leaf == "notice" {
		n, err := wire.ParseNotice(msg.Payload)
		if err == nil {
			err = n.Verify(m.c.s.Keys(), m.account)
		}
		if err != nil {
			m.t.Error(err)
		}
		m.notices <- n
		return
	}
	got, err := wire.ParseMessage(msg.Payload)
	if err == nil {
		err = got.Verify(m.c.s.Keys(), m.id.Name)
	}
	if err != nil {
		m.t.Error(err)
		return
	}
	m.in <- got
}

// raw signs a message with the next sequence number.
func (m *by) raw(b wire.Body) ([]byte, string) {
	m.t.Helper()
	m.seq++
	msg := &wire.Message{ID: wire.NewID(), To: m.c.s.Name(), Seq: m.seq, At: time.Now().UnixMilli(), Body: b}
	raw, err := m.id.Sign(msg)
	if err != nil {
		m.t.Fatal(err)
	}
	return raw, msg.ID
}

func (m *by) publish(raw []byte) {
	m.t.Helper()
	if err := m.conn.Publish(mqtt.Message{Topic: wire.OutboxTopic(m.id.Name), Payload: raw}); err != nil {
		m.t.Fatal(err)
	}
}

// ask says b and returns the first answer.
func (m *by) ask(b wire.Body) wire.Body {
	m.t.Helper()
	raw, id := m.raw(b)
	m.publish(raw)
	return m.next(id)
}

// notice waits for the notice of an epoch.
func (m *by) notice(epoch uint64) wire.Notice {
	m.t.Helper()
	for {
		select {
		case n := <-m.notices:
			if n.Epoch == epoch {
				return n
			}
		case <-time.After(10 * time.Second):
			m.t.Fatalf("no notice of epoch %d", epoch)
		}
	}
}

// next returns the next message that answers re; with an empty re, the next that answers nothing.
func (m *by) next(re string) wire.Body {
	m.t.Helper()
	for {
		select {
		case got := <-m.in:
			if got.Re == re {
				return got.Body
			}
		case <-time.After(10 * time.Second):
			m.t.Fatalf("no answer")
		}
	}
}

func want[T wire.Body](t testing.TB, b wire.Body) T {
	t.Helper()
	got, ok := b.(T)
	if !ok {
		t.Fatalf("answered with %s %+v, want %T", b.Type(), b, *new(T))
	}
	return got
}

func refusedWith(t *testing.T, b wire.Body, code string) {
	t.Helper()
	if r := want[*wire.Refusal](t, b); r.Code != code {
		t.Fatalf("refused with %q, want %q", r.Code, code)
	}
}

func enrolment(id *wire.Identity, w pairing.Pairing) *wire.Enrol {
	return &wire.Enrol{
		Keys: id.Keys, Name: "hub in the hall", Version: "1", Pairing: w.Name,
		Proof: wire.PairingProof(w.Secret, wire.RoleHub, w.Name, id.Name, id.Keys),
	}
}

// hub returns an enrolled hub, and the epoch secret of its first grant.
func (c *cloud) hub(w pairing.Pairing) (*by, home.Secret) {
	c.t.Helper()
	m := c.member(wire.RoleHub, w.Account)
	raw, id := m.raw(enrolment(m.id, w))
	m.publish(raw)
	e := want[*wire.Enrolled](c.t, m.next(id))
	proof := wire.PairingProof(w.Secret, wire.RoleService, w.Name, m.id.Name, e.Keys)
	if !wire.Equal(proof, e.Proof) || e.Email != email || e.Account != w.Account {
		c.t.Fatal("the service did not prove itself")
	}
	g := want[*wire.Grant](c.t, m.next(id))
	in, err := m.id.OpenGrant(g)
	if err != nil {
		c.t.Fatal(err)
	}
	if !in.Password.IsZero() {
		c.t.Fatal("the service still knows the password")
	}
	m.leave() // as a hub does: from now on with its account's notice
	return c.connect(m.id, w.Account), in.Secret
}

type gadget struct {
	id     string
	secret home.Secret
}

func (m *by) bind(devices []wire.Device, secrets []home.Secret) wire.Body {
	m.t.Helper()
	var plain []byte
	for _, s := range secrets {
		plain = append(plain, s.Reveal()...)
	}
	sealed, err := m.c.s.Keys().SealTo(wire.SecretInfo(m.account, m.id.Name), plain)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.ask(&wire.Bind{Account: m.account, Devices: devices, Secrets: sealed})
}

// plugs binds n plugs, in messages of 256.
func (m *by) plugs(prefix string, n int) []gadget {
	m.t.Helper()
	var gs []gadget
	for len(gs) < n {
		var ds []wire.Device
		var ss []home.Secret
		for len(gs) < n && len(ds) < 256 {
			g := gadget{prefix + string(rune('a'+len(gs)/676%26)) + string(rune('a'+len(gs)/26%26)) + string(rune('a'+len(gs)%26)), home.SecretBytes(wire.NewSeed())}
			gs, ds, ss = append(gs, g), append(ds, wire.Device{ID: g.id, Kind: "plug", Protocol: "iot", Name: "a plug"}), append(ss, g.secret)
		}
		if r := want[*wire.Receipt](m.t, m.bind(ds, ss)); len(r.Refused) > 0 {
			m.t.Fatalf("bind refused: %v", r.Refused)
		}
	}
	return gs
}

// begin begins sign-ins and returns them with the service's nonces; the service's proofs hold.
func (m *by) begin(epoch uint64, secret home.Secret, gs []gadget) []wire.SignIn {
	m.t.Helper()
	b := &wire.Begin{Account: m.account, Epoch: epoch}
	signs := make([]wire.SignIn, len(gs))
	for i, g := range gs {
		signs[i] = wire.SignIn{
			Account: m.account, Member: m.id.Name, Device: g.id, Epoch: epoch, MemberNonce: wire.NewNonce(), EpochSecret: secret, BindingSecret: g.secret,
		}
		b.Devices = append(b.Devices, wire.Nonce{ID: g.id, Nonce: signs[i].MemberNonce})
	}
	ch := want[*wire.Challenge](m.t, m.ask(b))
	if len(ch.Devices) != len(gs) || len(ch.Refused) > 0 {
		m.t.Fatalf("%d of %d challenged, refused %v", len(ch.Devices), len(gs), ch.Refused)
	}
	for i := range ch.Devices {
		signs[i].ServiceNonce = ch.Devices[i].Nonce
		if service, _ := signs[i].Proofs(); !wire.Equal(service, ch.Devices[i].Proof) {
			m.t.Fatal("the service's proof does not hold")
		}
	}
	return signs
}

func proofOf(signs []wire.SignIn) *wire.Proof {
	b := &wire.Proof{Account: signs[0].Account, Epoch: signs[0].Epoch}
	for _, s := range signs {
		_, member := s.Proofs()
		b.Devices = append(b.Devices, wire.Proven{ID: s.Device, Proof: member})
	}
	return b
}

func (m *by) signIn(epoch uint64, secret home.Secret, gs []gadget) {
	m.t.Helper()
	for len(gs) > 0 {
		part := gs[:min(256, len(gs))]
		gs = gs[len(part):]
		session := want[*wire.Session](m.t, m.ask(proofOf(m.begin(epoch, secret, part))))
		if len(session.Devices) != len(part) {
			m.t.Fatalf("%d of %d signed in: %v", len(session.Devices), len(part), session.Refused)
		}
		r := want[*wire.Receipt](m.t, m.ask(&wire.Confirm{Account: m.account, Epoch: epoch, Devices: session.Devices}))
		if len(r.Refused) > 0 {
			m.t.Fatalf("confirm refused: %v", r.Refused)
		}
	}
}

// online returns how many devices are listed, and how many with status 1.
func (c *cloud) online(token string) (listed, online int) {
	c.t.Helper()
	var r struct {
		DeviceList []struct {
			DeviceID string
			Status   int
		}
	}
	if code := c.call(token, "getDeviceList", p{}, &r); code != 0 {
		c.t.Fatalf("getDeviceList: %d", code)
	}
	for _, d := range r.DeviceList {
		online += d.Status
	}
	return len(r.DeviceList), online
}

// everything returns the bytes of every file of the state, and the log.
func (c *cloud) everything() map[string][]byte {
	c.t.Helper()
	all := map[string][]byte{"the log": []byte(c.log.String())}
	err := filepath.WalkDir(c.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		all[path], err = io.ReadAll(f)
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}
