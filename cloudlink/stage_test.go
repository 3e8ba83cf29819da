package cloudlink_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/broker"
	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// stage is a real broker on which the test itself plays the account service, so that it can send what no honest one
// would.
type stage struct {
	*hub
	svc     *wire.Identity
	conn    *mqtt.Conn
	notices []wire.Notice      // of every epoch; the first is that of epoch 1
	secrets []home.Secret      // likewise
	sent    chan *wire.Message // by the hub, but for hellos and acks
	asked   chan *wire.Hello   // by the hub
	mute    func(m *wire.Message) bool
	mu      sync.Mutex        // guards mute, newest, seal and answers
	newest  int               // of notices: what answers name
	seal    []byte            // the hub's sealing key
	answers map[string][]byte // of the test, by request: a repeated request gets the same again
	began0  time.Time         // about when the link began
}

const house1 = "account1"

// AccountOf and Holds serve the broker's rules.
func (s *stage) AccountOf(string) (string, bool) { return house1, true }
func (s *stage) Holds(_, _ string) bool          { return false }

// play sets the stage: a hub that was enrolled at epoch 1 and has its grant.
func play(t *testing.T, set func(*cloudlink.Options)) *stage {
	t.Helper()
	s := &stage{sent: make(chan *wire.Message, 1000), asked: make(chan *wire.Hello, 1000), answers: map[string][]byte{}}
	var err error
	s.svc, err = wire.NewIdentity(wire.RoleService, wire.NewSeed(), wire.NewSeed())
	must(t, err)
	for e := range uint64(6) {
		n := wire.Notice{Account: house1, Epoch: e + 1, At: int64(e), Cause: "reset", Via: "web", Exposed: e+1 == 3}
		if e > 0 {
			n.Prev = s.notices[e-1].Hash()
		}
		s.notices = append(s.notices, s.svc.SignNotice(n))
		s.secrets = append(s.secrets, home.SecretBytes(wire.NewSeed()))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	b, err := broker.New(broker.Options{Directory: s, Service: s.svc.Name, Log: quiet})
	must(t, err)
	h := &house{t: t, log: quiet, carrier: carry(t, l.Addr().String())}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	up := make(chan bool, 10)
	s.conn, err = mqtt.New(mqtt.Options{
		Brokers: []string{"mqtt://" + l.Addr().String()}, ClientID: s.svc.Name, Username: s.svc.Name,
		Password: s.svc.Login(), Filters: wire.Outboxes(),
		Receive: s.receive, Up: func(is bool) { up <- is }, Log: quiet, MinPause: 10 * time.Millisecond,
	})
	must(t, err)
	parts.Go(func() { _ = b.Serve(ctx, l) })
	parts.Go(func() { _ = s.conn.Run(ctx) })
	t.Cleanup(func() { cancel(); parts.Wait(); h.carrier.close() })
	select {
	case <-up:
	case <-time.After(time.Minute):
		t.Fatal("no connection")
	}

	s.began0 = time.Now()
	s.hub = h.hub(func(o *cloudlink.Options) {
		if o.Boot == 1 {
			must(t, s.hub0(h, o))
		}
		if set != nil {
			set(o)
		}
	})
	s.account = house1
	select {
	case <-s.asked: // so it listens
	case <-time.After(time.Minute):
		t.Fatal("no hello of the hub")
	}
	s.send(s.grant(1))
	s.waitEpoch(1, time.Minute)
	eventually(t, time.Minute, "an empty outbox", s.quiet)
	return s
}

// hub0 enrols the hub on disk, before its link runs.
func (s *stage) hub0(h *house, o *cloudlink.Options) error {
	s.hub, s.seal = &hub{id: o.Identity}, o.Identity.Keys.Seal
	n := s.notices[0]
	return o.Store.Enrol(home.Account{
		ID: house1, Email: email, ServiceKey: s.svc.Keys.Sign, ServiceSeal: s.svc.Keys.Seal,
		Notice: n.Hash(), NoticeEpoch: 1, NoticeJSON: n.JWS(), Brokers: h.brokers(),
	}, home.Credential{})
}

func (s *stage) quiet() bool {
	es, err := s.store.Errands(1)
	must(s.h.t, err)
	return len(es) == 0
}

// receive answers hellos and acks as an honest service would, and keeps the rest for the test.
func (s *stage) receive(m mqtt.Message) {
	got, err := wire.ParseMessage(m.Payload)
	if err != nil {
		return
	}
	s.mu.Lock()
	mute, newest, seal, again := s.mute, s.notices[s.newest], s.seal, s.answers[got.ID]
	s.mu.Unlock()
	if mute != nil && mute(got) {
		return
	}
	if again != nil {
		_ = s.conn.Publish(mqtt.Message{Topic: wire.InboxTopic(got.From), Payload: again})
		return
	}
	var answer wire.Body = &wire.Receipt{Account: house1, Epoch: newest.Epoch, Notice: newest}
	switch b := got.Body.(type) {
	case *wire.Hello:
		select {
		case s.asked <- b:
		default:
		}
		challenge, err := wire.Keys{Seal: seal}.SealTo(
			wire.ChallengeInfo(house1, got.From), s.svc.KeyChallenge(house1, got.From, seal),
		)
		if err != nil {
			panic(err)
		}
		answer = &wire.Welcome{
			Account: house1, Epoch: newest.Epoch, Notice: newest, Nonce: wire.NewNonce(), Seal: seal, Challenge: challenge,
		}
	case *wire.Ack:
		want := wire.KeyChange{
			Account: house1, Member: got.From, Epoch: b.Epoch, Seal: b.Seal, Message: got.ID,
			EpochSecret: s.secrets[b.Epoch-1], Challenge: s.svc.KeyChallenge(house1, got.From, seal),
		}.Proof()
		switch {
		case wire.Equal(want, b.Proof):
			s.mu.Lock()
			s.seal = b.Seal
			s.mu.Unlock()
		case !wire.Equal(seal, b.Seal): // else the same again: its answer was lost
			answer = &wire.Refusal{Code: wire.CodeForged} // as the service: the challenge was that of another key
		}
	default:
		s.sent <- got
		return
	}
	_ = s.conn.Publish(mqtt.Message{
		Topic: wire.InboxTopic(got.From), Payload: s.sign(&wire.Message{Re: got.ID, To: got.From, Body: answer}),
	})
}

// sealKey returns the hub's sealing key.
func (s *stage) sealKey() wire.Keys {
	s.mu.Lock()
	defer s.mu.Unlock()
	return wire.Keys{Seal: s.seal}
}

// sign signs a message as the service.
func (s *stage) sign(m *wire.Message) []byte {
	m.At = time.Now().UnixMilli()
	raw, err := s.svc.Sign(m)
	if err != nil {
		panic(err) // of the test's own making
	}
	return raw
}

// grant returns the honest grant of an epoch.
func (s *stage) grant(e uint64) *wire.Message { return s.grantTo(s.sealKey(), e) }

func (s *stage) grantTo(k wire.Keys, e uint64) *wire.Message {
	sealed, err := k.SealGrant(
		house1, s.id.Name, e, wire.Granted{Secret: s.secrets[e-1], Username: email, Password: home.NewSecret("pw")},
	)
	must(s.h.t, err)
	return &wire.Message{To: s.id.Name, Body: &wire.Grant{Notice: s.notices[e-1], Sealed: sealed}}
}

// send signs a message and puts it into the hub's inbox.
func (s *stage) send(m *wire.Message) {
	s.h.t.Helper()
	raw := s.sign(m)
	if m.Re != "" {
		s.mu.Lock()
		s.answers[m.Re] = raw
		s.mu.Unlock()
	}
	s.put(raw)
}

func (s *stage) put(raw []byte) {
	s.h.t.Helper()
	must(s.h.t, s.conn.Publish(mqtt.Message{Topic: wire.InboxTopic(s.id.Name), Payload: raw}))
}

func (s *stage) post(n wire.Notice) {
	s.h.t.Helper()
	s.postText(n.JWS())
}

func (s *stage) postText(text []byte) {
	s.h.t.Helper()
	must(s.h.t, s.conn.Publish(mqtt.Message{Topic: wire.NoticeTopic(house1), Payload: text, Retained: true}))
}

// tamper returns a JWS whose payload was changed after it was signed.
func tamper(t *testing.T, raw []byte, from, to string) []byte {
	t.Helper()
	parts := bytes.Split(raw, []byte("."))
	payload, err := base64.RawURLEncoding.DecodeString(string(parts[1]))
	if err != nil || !bytes.Contains(payload, []byte(from)) {
		t.Fatalf("nothing to change: %s, %v", payload, err)
	}
	parts[1] = base64.RawURLEncoding.AppendEncode(nil, bytes.Replace(payload, []byte(from), []byte(to), 1))
	return bytes.Join(parts, []byte("."))
}

// next returns the next message of the hub that has a body like T.
func next[T wire.Body](s *stage) (*wire.Message, T) {
	s.h.t.Helper()
	for {
		select {
		case m := <-s.sent:
			if b, ok := m.Body.(T); ok {
				return m, b
			}
		case <-time.After(time.Minute):
			s.h.t.Fatalf("the hub does not send %T", *new(T))
		}
	}
}
