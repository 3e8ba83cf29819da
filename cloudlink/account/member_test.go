package account_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

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
	opened  string // the request that was opened last
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
		t: c.t, c: c, id: id, account: accountID, in: make(chan *wire.Message, 1024), notices: make(chan wire.Notice, 64),
		up:  make(chan bool, 8),
		seq: uint64(time.Now().UnixNano()),
	}
	var err error
	m.conn, err = mqtt.New(mqtt.Options{
		Brokers: []string{c.broker}, ClientID: id.Name, Username: id.Name, Password: id.Login(),
		Filters: []string{wire.InboxTopic(id.Name), wire.NoticeTopic(accountID)},
		Receive: m.receive, Up: func(up bool) { m.up <- up }, Log: slog.New(slog.DiscardHandler),
		MinPause: 10 * time.Millisecond,
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
	case <-time.After(time.Minute):
		c.t.Fatal("no connection")
	}
	return m
}

func (m *by) receive(msg mqtt.Message) {
	if t, _ := wire.ParseTopic(msg.Topic); t.Leaf == "notice" {
		n, err := wire.ParseNotice(msg.Payload)
		if err == nil {
			err = n.Verify(m.c.s.Identity().Keys, m.account)
		}
		if err != nil {
			m.t.Error(err)
		}
		m.notices <- n
		return
	}
	got, err := wire.ParseMessage(msg.Payload)
	if err == nil {
		err = got.Verify(m.c.s.Identity().Keys, m.id.Name)
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
	return m.signed(func(string) wire.Body { return b })
}

// signed is raw for a body that depends on the ID of its message.
func (m *by) signed(body func(id string) wire.Body) ([]byte, string) {
	m.t.Helper()
	m.seq++
	id := wire.NewID()
	msg := &wire.Message{ID: id, To: m.c.s.Name(), Seq: m.seq, At: time.Now().UnixMilli(), Body: body(id)}
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

// ask sends a message until it is answered, as a member does: the service may not be connected yet.
func (m *by) ask(b wire.Body) wire.Body {
	m.t.Helper()
	_, answer := m.asked(b)
	return answer
}

// asked is ask, and returns the name of the message that was answered, too.
func (m *by) asked(b wire.Body) (string, wire.Body) {
	m.t.Helper()
	for range 10 {
		raw, id := m.raw(b)
		m.publish(raw)
		if answer := m.within(id, 3*time.Second); answer != nil {
			return id, answer
		}
	}
	m.t.Fatal("no answer")
	return "", nil
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
		case <-time.After(time.Minute):
			m.t.Fatalf("no notice of epoch %d", epoch)
		}
	}
}

// next returns the next message that answers re; with an empty re, the next that answers nothing.
func (m *by) next(re string) wire.Body {
	m.t.Helper()
	b := m.within(re, 10*time.Second)
	if b == nil {
		m.t.Fatal("no answer")
	}
	return b
}

// within is next for as long as d, and nil then.
func (m *by) within(re string, d time.Duration) wire.Body {
	end := time.After(d)
	for {
		select {
		case got := <-m.in:
			if got.Re == re {
				return got.Body
			}
		case <-end:
			return nil
		}
	}
}

func want[T wire.Body](t testing.TB, b wire.Body) T {
	t.Helper()
	got, ok := b.(T)
	if !ok {
		t.Fatalf("answered with %s %+v, want %T", wire.TypeOf(b), b, *new(T))
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
		Account: w.Account, Keys: id.Keys, Name: "hub in the hall", Version: "1", Pairing: w.Name,
		Proof: wire.PairingProof(w.Secret, wire.RoleHub, w.Name, id.Name, id.Keys),
	}
}

// enrolled registers the owner, signs them in, and enrols a first hub. It returns the owner's token, the hub and the
// epoch secret of the hub's first grant.
func (c *cloud) enrolled() (token string, hub *by, secret home.Secret) {
	c.t.Helper()
	c.register()
	token = c.signIn()
	hub, secret = c.hub(c.pair(token))
	return token, hub, secret
}

// hub returns an enrolled hub, and the epoch secret of its first grant.
func (c *cloud) hub(w pairing.Pairing) (*by, home.Secret) {
	c.t.Helper()
	m := c.member(wire.RoleHub, w.Account)
	id, answer := m.asked(enrolment(m.id, w))
	e := want[*wire.Enrolled](c.t, answer)
	proof := wire.PairingProof(w.Secret, wire.RoleService, w.Name, m.id.Name, e.Keys)
	if !wire.Equal(proof, e.Proof) || e.Email != email || e.Account != w.Account {
		c.t.Fatal("the service did not prove itself")
	}
	g := want[*wire.Grant](c.t, m.next(id))
	in, err := m.id.OpenGrant(m.id.Name, g)
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
	secret home.Key
}

func (m *by) bind(devices []wire.Device, secrets []home.Key) wire.Body {
	m.t.Helper()
	var plain []byte
	for _, s := range secrets {
		plain = append(plain, s.Reveal()...)
	}
	sealed, err := m.c.s.Identity().Keys.SealTo(wire.SecretInfo(m.account, m.id.Name), plain)
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
		var ss []home.Key
		for len(gs) < n && len(ds) < 256 {
			g := gadget{
				prefix + string(rune('a'+len(gs)/676%26)) + string(rune('a'+len(gs)/26%26)) + string(rune('a'+len(gs)%26)),
				home.KeyBytes(wire.NewSeed()),
			}
			gs, ss = append(gs, g), append(ss, g.secret)
			ds = append(ds, wire.Device{ID: g.id, Kind: "plug", Protocol: "iot", Name: "a plug"})
		}
		if r := want[*wire.Receipt](m.t, m.bind(ds, ss)); len(r.Refused) > 0 {
			m.t.Fatalf("bind refused: %v", r.Refused)
		}
	}
	return gs
}

// hello sends a hello, and returns the grants and the welcome that answer it.
func (m *by) hello(epoch uint64) ([]*wire.Grant, *wire.Welcome) {
	m.t.Helper()
	id, answer := m.asked(&wire.Hello{Account: m.account, Epoch: epoch, Boot: 1, Clock: 1000})
	var gs []*wire.Grant
	for {
		switch b := answer.(type) {
		case *wire.Grant:
			gs = append(gs, b)
		case *wire.Welcome:
			return gs, b
		default:
			m.t.Fatalf("hello was answered with %T %+v", b, b)
		}
		answer = m.next(id)
	}
}

// acks acknowledges an epoch with a new sealing key, by the challenge of a welcome, and returns the message and the
// key.
func (m *by) acks(epoch uint64, secret home.Secret, challenge []byte) (raw []byte, id string, next *wire.Sealer) {
	m.t.Helper()
	next, err := wire.NewSealer(wire.NewSeed())
	if err != nil {
		m.t.Fatal(err)
	}
	raw, id = m.signed(func(id string) wire.Body {
		change := wire.KeyChange{
			Account: m.account, Member: m.id.Name, Epoch: epoch, Seal: next.Public, Message: id, EpochSecret: secret,
			Challenge: challenge,
		}
		return &wire.Ack{Account: m.account, Epoch: epoch, Seal: next.Public, Proof: change.Proof()}
	})
	return raw, id, next
}

// request returns a sign-in of devices, with honest proofs, as change leaves them.
func (m *by) request(
	epoch uint64, secret home.Secret, nonce []byte, gs []gadget, change func(*wire.SignIn),
) (raw []byte, id string, attempts map[string]wire.Attempt) {
	m.t.Helper()
	attempts = map[string]wire.Attempt{}
	raw, id = m.signed(func(id string) wire.Body {
		b := &wire.SignIn{Account: m.account, Epoch: epoch, MemberNonce: wire.NewNonce(), ServiceNonce: nonce}
		for _, g := range gs {
			a := wire.Attempt{
				Account: m.account, Member: m.id.Name, Device: g.id, Request: id, Epoch: epoch, MemberNonce: b.MemberNonce,
				ServiceNonce: nonce,
				EpochSecret:  secret, BindingSecret: g.secret,
			}
			_, proof := a.Proofs()
			attempts[g.id] = a
			b.Devices = append(b.Devices, wire.Proven{ID: g.id, Proof: proof})
		}
		if change != nil {
			change(b)
		}
		return b
	})
	return raw, id, attempts
}

// tries sends a sign-in and returns the answer.
func (m *by) tries(epoch uint64, secret home.Secret, gs []gadget, change func(*wire.SignIn)) wire.Body {
	m.t.Helper()
	_, w := m.hello(1 << 32)
	raw, id, _ := m.request(epoch, secret, w.Nonce, gs, change)
	m.publish(raw)
	return m.next(id)
}

func (m *by) signIn(epoch uint64, secret home.Secret, gs []gadget) {
	m.t.Helper()
	_, w := m.hello(1 << 32)
	nonce := w.Nonce
	for len(gs) > 0 {
		part := gs[:min(256, len(gs))]
		gs = gs[len(part):]
		raw, id, attempts := m.request(epoch, secret, nonce, part, nil)
		m.publish(raw)
		answer := want[*wire.SignedIn](m.t, m.next(id))
		if len(answer.Devices) != len(part) {
			m.t.Fatalf("%d of %d signed in: %v", len(answer.Devices), len(part), answer.Refused)
		}
		for _, d := range answer.Devices {
			if service, _ := attempts[d.ID].Proofs(); !wire.Equal(service, d.Proof) {
				m.t.Fatal("the service's proof does not hold")
			}
		}
		nonce = answer.Nonce
	}
}
