package cloudlink_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// picture is everything of a hub's state that a message could change.
func (b *hub) picture() string {
	t := b.h.t
	t.Helper()
	a, err := b.store.Account()
	must(t, err)
	cs, err := b.store.Credentials(a.ID)
	must(t, err)
	bs, err := b.store.Bindings()
	must(t, err)
	es, err := b.store.Errands(1000)
	must(t, err)
	var secrets []string
	for _, c := range cs {
		secrets = append(secrets, c.Password.Reveal()+c.EpochSecret.Reveal())
	}
	return fmt.Sprintf("%+v\n%+v\n%q\n%+v\n%+v", a, cs, secrets, bs, es)
}

// events returns how often each detail of a refusal stands in the history.
func (b *hub) events() map[string]int {
	b.h.t.Helper()
	es, err := b.store.History(1000)
	must(b.h.t, err)
	n := map[string]int{}
	for _, e := range es {
		if e.What == "message refused" {
			n[e.Detail]++
		}
	}
	return n
}

func TestForgeriesChangeNothing(t *testing.T) {
	s := play(t, func(o *cloudlink.Options) {
		o.Patience = time.Minute // a repeated request would have a second answer, which is unexpected
	})
	s.newest = 1
	s.send(s.grant(2))
	s.waitEpoch(2, time.Minute)
	eventually(t, time.Minute, "an empty outbox", s.quiet)
	stranger, err := wire.NewIdentity(wire.RoleService, wire.NewSeed(), wire.NewSeed())
	must(t, err)
	hub2, err := wire.NewIdentity(wire.RoleHub, wire.NewSeed(), wire.NewSeed())
	must(t, err)
	signed := func(change func(*wire.Notice)) wire.Notice {
		n := s.notices[2]
		change(&n)
		return s.svc.SignNotice(n)
	}
	raw := func(m *wire.Message) []byte { return s.sign(m) }
	old := raw(s.grant(1))
	cases := []struct {
		name, reason string
		send         func()
	}{
		{"a notice signed by another", "forged", func() { s.post(stranger.SignNotice(s.notices[2])) }},
		{
			"a notice changed after it was signed", "forged",
			func() { s.postText(tamper(t, s.notices[2].JWS(), `"reset"`, `"changed"`)) },
		},
		{"a notice of another account", "forged", func() { s.post(signed(func(n *wire.Notice) { n.Account = "account2" })) }},
		{"a notice of an older epoch", "old", func() { s.post(s.notices[0]) }},
		{
			"another notice of the same epoch", "forged",
			func() { s.post(signed(func(n *wire.Notice) { n.Epoch, n.Prev = 2, s.notices[0].Hash() })) },
		},
		{
			"a notice that breaks the chain", "forged", func() { s.post(signed(func(n *wire.Notice) { n.Prev = []byte("x") })) },
		},
		{
			"a notice of the last epoch of all", "forged",
			func() { s.post(signed(func(n *wire.Notice) { n.Epoch = math.MaxUint64 })) },
		},
		{"a grant signed by another", "forged", func() {
			b, err := stranger.Sign(s.grant(3))
			must(t, err)
			s.put(b)
		}},
		{"a grant changed after it was signed", "forged", func() {
			m := s.grant(3)
			s.put(tamper(t, raw(m), fmt.Sprintf(`"at":%d`, m.At), fmt.Sprintf(`"at":%d`, m.At+1)))
		}},
		{"a grant for another hub", "forged", func() { m := s.grantTo(hub2.Keys, 3); m.To = hub2.Name; s.send(m) }},
		{"a grant sealed to another hub", "forged", func() { s.send(s.grantTo(hub2.Keys, 3)) }},
		{
			"a grant whose seal was flipped", "forged",
			func() { m := s.grant(3); m.Body.(*wire.Grant).Sealed[40] ^= 1; s.send(m) },
		},
		{"a grant of another epoch's seal", "forged", func() {
			m := s.grant(3)
			m.Body.(*wire.Grant).Sealed = s.grant(2).Body.(*wire.Grant).Sealed
			s.send(m)
		}},
		{"a grant with another's notice", "forged", func() {
			m := s.grant(3)
			m.Body.(*wire.Grant).Notice = stranger.SignNotice(s.notices[2])
			s.send(m)
		}},
		{"a grant that breaks the chain", "forged", func() {
			m := s.grant(3)
			m.Body.(*wire.Grant).Notice = signed(func(n *wire.Notice) { n.Prev = []byte("x") })
			s.send(m)
		}},
		{"an old grant", "old", func() { s.put(old) }},
		{
			"a grant that came too late", "expired",
			func() { m := s.grant(3); m.Exp = time.Now().Add(-time.Second).UnixMilli(); s.send(m) },
		},
		{"a sign-in without a request", "unexpected", func() {
			s.send(&wire.Message{
				Re: "no-request", To: s.id.Name,
				Body: &wire.SignedIn{Account: house1, Epoch: 2, Devices: []wire.Proven{{ID: "mac-50c7bf000000"}}},
			})
		}},
		{"another account's enrolment", "unexpected", func() {
			s.send(&wire.Message{
				To: s.id.Name, Body: &wire.Enrolled{Account: "account2", Keys: stranger.Keys, Notice: s.notices[2]},
			})
		}},
		{"no JSON", "malformed", func() { s.put([]byte(`{"type":"grant","body":`)) }},
		{"nothing", "malformed", func() { s.put(nil) }},
		{"a notice that is no JSON", "malformed", func() { s.postText([]byte(`{"account":`)) }},
		{"a message of 600 KiB", "malformed", func() { // not even the broker carries it
			p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
			p.TopicName, p.Payload = wire.InboxTopic(s.id.Name), bytes.Repeat([]byte("x"), 600<<10)
			s.h.carrier.inject(down, p)
		}},
		{"a message on a topic of another", "unexpected", func() {
			p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
			p.TopicName, p.Payload = wire.InboxTopic(hub2.Name), raw(s.grant(3))
			s.h.carrier.inject(down, p)
		}},
	}
	before := s.picture()
	for _, c := range cases {
		for range 2 {
			was := s.dropped()
			c.send()
			eventually(t, time.Minute, c.name+" is "+c.reason, func() bool { return s.dropped()[c.reason] > was[c.reason] })
			is := s.dropped()
			is[c.reason]--
			if fmt.Sprint(is) != fmt.Sprint(was) {
				t.Errorf("%s: counted %v after %v, want one more %s", c.name, s.dropped(), was, c.reason)
			}
			if after := s.picture(); after != before {
				t.Fatalf("%s changed the store:\n%s\nwas\n%s", c.name, after, before)
			}
		}
	}
	for what, n := range s.events() {
		if n != 1 {
			t.Errorf("%d lines of the history in a minute are: %s", n, what)
		}
	}
	if got := s.events(); got["a message of type grant of an older epoch"] != 1 ||
		got["a notice that the account service did not sign"] != 1 ||
		got["a message that cannot be read"] != 1 {
		t.Errorf("the history has %v", got)
	}

	// After all that, the honest grant is taken.
	s.mu.Lock()
	s.newest = 2
	s.mu.Unlock()
	s.send(s.grant(3))
	s.waitEpoch(3, time.Minute)
}

func TestAGrantThatComesTwiceIsAcknowledgedTwice(t *testing.T) {
	s := play(t, nil)
	acks := make(chan uint64, 10)
	s.mu.Lock()
	s.mute = func(m *wire.Message) bool {
		if a, ok := m.Body.(*wire.Ack); ok {
			acks <- a.Epoch
		}
		return false
	}
	s.mu.Unlock()
	began := s.began.Load()
	again := s.sign(s.grant(1))
	for range 2 {
		s.put(again)
		eventually(t, time.Minute, "an acknowledgement", func() bool { s.link.Wake(); return len(acks) > 0 })
		if e := <-acks; e != 1 {
			t.Fatalf("acknowledged %d", e)
		}
		eventually(t, time.Minute, "an empty outbox", s.quiet)
	}
	if got := s.began.Load(); got != began {
		t.Error("an epoch was begun twice")
	}
}

// devices binds plugs in the store, with the service's assent.
func (s *stage) devices(n int) {
	s.h.t.Helper()
	s.bind(n)
	for bound := 0; bound < n; {
		m, b := next[*wire.Bind](s)
		bound += len(b.Devices)
		s.answer(m, &wire.Receipt{Account: house1, Epoch: 1, Notice: s.notices[0]})
	}
}

func (s *stage) answer(m *wire.Message, b wire.Body) {
	s.h.t.Helper()
	s.send(&wire.Message{Re: m.ID, To: s.id.Name, Body: b})
}

// signedIn answers a SignIn, with honest proofs.
func (s *stage) signedIn(m *wire.Message, b *wire.SignIn) *wire.SignedIn {
	t := s.h.t
	t.Helper()
	secrets, err := s.store.BindingSecrets(s.hub.devices)
	must(t, err)
	answer := &wire.SignedIn{Account: house1, Epoch: b.Epoch, Nonce: wire.NewNonce()}
	for _, d := range b.Devices {
		service, member := wire.Attempt{
			Account: house1, Member: s.id.Name, Device: d.ID, Request: m.ID, Epoch: b.Epoch, MemberNonce: b.MemberNonce,
			ServiceNonce: b.ServiceNonce,
			EpochSecret:  s.secrets[b.Epoch-1], BindingSecret: secrets[home.DeviceID(d.ID)],
		}.Proofs()
		if !wire.Equal(member, d.Proof) {
			t.Fatalf("the hub's proof for %s does not hold", d.ID)
		}
		answer.Devices = append(answer.Devices, wire.Proven{ID: d.ID, Proof: service})
	}
	return answer
}

func TestADeviceIsSignedInOnlyWithTheServicesProof(t *testing.T) {
	s := play(t, nil)
	s.devices(4)
	m, b := next[*wire.SignIn](s)
	if len(b.Devices) != 4 || len(b.MemberNonce) != 32 {
		t.Fatalf("%d devices in the request, want 4", len(b.Devices))
	}
	for name, wrong := range map[string]wire.Body{
		"a receipt":       &wire.Receipt{Account: house1, Epoch: 1, Notice: s.notices[0]},
		"another account": &wire.SignedIn{Account: "account2", Epoch: 1},
		"another epoch":   &wire.SignedIn{Account: house1, Epoch: 2},
	} {
		was := s.dropped()
		s.answer(m, wrong)
		eventually(t, time.Minute, name+" is dropped", func() bool { return fmt.Sprint(s.dropped()) != fmt.Sprint(was) })
	}
	answer := s.signedIn(m, b)
	answer.Devices[0].Proof[0] ^= 1
	answer.Devices[1].Proof = nil
	answer.Devices[2].Proof = b.Devices[2].Proof // the hub's own, sent back
	good := answer.Devices[3].ID
	// not in the request
	answer.Devices = append(answer.Devices, wire.Proven{ID: "mac-50c7bfffffff", Proof: answer.Devices[3].Proof})
	was := s.dropped()["forged"]
	s.answer(m, answer)
	eventually(t, time.Minute, "one device is signed in", func() bool {
		bs, err := s.store.Bindings()
		must(t, err)
		for _, b := range bs {
			if b.CloudEpoch == 1 {
				return true
			}
		}
		return false
	})
	bs, err := s.store.Bindings()
	must(t, err)
	for _, b := range bs {
		if (b.CloudEpoch == 1) != (string(b.Device) == good) {
			t.Errorf("%s signed in: %t", b.Device, b.CloudEpoch == 1)
		}
	}
	if n := s.dropped()["forged"] - was; n != 3 {
		t.Errorf("%d counted as forged, want 3", n)
	}
	// The others are tried again, in a new request with the new nonce.
	m2, b2 := next[*wire.SignIn](s)
	if len(b2.Devices) != 3 || m2.ID == m.ID || !slices.Equal(b2.ServiceNonce, answer.Nonce) ||
		slices.Equal(b2.MemberNonce, b.MemberNonce) {
		t.Errorf("%d devices in the next request, want 3 with new nonces", len(b2.Devices))
	}
}

func TestAnExpiredNonceIsReplacedAtOnce(t *testing.T) {
	s := play(t, nil)
	s.devices(2)
	m, b := next[*wire.SignIn](s)
	fresh := wire.NewNonce()
	s.answer(m, &wire.Refusal{Code: wire.CodeNonce, Nonce: fresh})
	m2, b2 := next[*wire.SignIn](s)
	if !slices.Equal(b2.ServiceNonce, fresh) || slices.Equal(b.ServiceNonce, fresh) || m2.Seq <= m.Seq ||
		len(b2.Devices) != 2 {
		t.Fatalf("%+v after %+v", m2, m)
	}
	s.answer(m2, s.signedIn(m2, b2))
	eventually(t, time.Minute, "an empty outbox", s.quiet)
}

func TestARequestWithoutAnAnswerIsRepeatedAsItIs(t *testing.T) {
	s := play(t, func(o *cloudlink.Options) { o.Patience = 100 * time.Millisecond })
	s.devices(1) // a request about several is halved in the end
	m, _ := next[*wire.SignIn](s)
	for range 3 {
		again, b := next[*wire.SignIn](s)
		if again.ID != m.ID || again.Seq != m.Seq || again.At != m.At || len(b.Devices) != 1 {
			t.Fatalf("%+v after %+v", again, m)
		}
	}
	s.bind(1) // waits: a member has one request at a time
	again, b := next[*wire.SignIn](s)
	if again.ID != m.ID {
		t.Fatalf("another request beside the one that waits: %+v", again)
	}
	s.answer(again, s.signedIn(again, b))
	next[*wire.Bind](s)
}

func TestAGrantAfterALostOneWaitsForIt(t *testing.T) {
	s := play(t, nil)
	s.post(s.notices[1])
	eventually(t, time.Minute, "the notice is noted", func() bool {
		a, err := s.store.Account()
		must(t, err)
		return a.NoticeEpoch == 2
	})
	for len(s.asked) > 0 {
		<-s.asked
	}
	s.send(s.grant(3))
	select {
	case a := <-s.asked:
		if a.Epoch != 1 {
			t.Fatalf("asked for what follows %d, want 1", a.Epoch)
		}
	case <-time.After(time.Minute):
		t.Fatal("nothing was asked")
	}
	if e := s.epoch(); e != 1 {
		t.Fatalf("at epoch %d, want 1", e)
	}
	s.send(s.grant(2))
	s.send(s.grant(3))
	s.waitEpoch(3, time.Minute)
	cs, err := s.store.Credentials(house1)
	must(t, err)
	if len(cs) < 2 || cs[1].Epoch != 2 {
		t.Error("the vault lacks epoch 2")
	}
}

func TestANoticeThatAPasswordIsExposedIsRecordedWithItsEpoch(t *testing.T) {
	s := play(t, nil)
	for e := uint64(2); e <= 4; e++ {
		// The hub may replace its sealing key while a grant is on its way: then the service seals it anew.
		for range 40 {
			s.send(s.grant(e))
			if a, err := s.store.Account(); err == nil && a.Epoch >= home.Epoch(e) {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		s.waitEpoch(home.Epoch(e), time.Minute)
		want := home.Epoch(0)
		if e >= 3 { // the notice of epoch 3 reports it, that of 4 does not end it
			want = 3
		}
		if a, err := s.store.Account(); err != nil || a.Exposed != want {
			t.Errorf("after epoch %d exposed at %d, %v, want %d", e, a.Exposed, err, want)
		}
	}
}
