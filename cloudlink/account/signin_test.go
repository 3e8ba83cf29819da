package account_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestASignInIsOneRequestAndOneAnswer(t *testing.T) {
	c := open(t, nil)
	token, hub, secret := c.enrolled()
	gs := hub.plugs("plug-", 3)
	code := func(b wire.Body) string {
		t.Helper()
		s := want[*wire.SignedIn](t, b)
		if len(s.Refused) != 1 || len(s.Devices) != 0 {
			t.Fatalf("signed in %+v", s)
		}
		return s.Refused[0].Code
	}
	first := func(change func(p *wire.Proven)) func(*wire.SignIn) {
		return func(b *wire.SignIn) { change(&b.Devices[0]) }
	}
	for name, c := range map[string]struct {
		secret home.Secret
		change func(*wire.SignIn)
	}{
		"no proof":                    {secret, first(func(p *wire.Proven) { p.Proof = nil })},
		"a flipped proof":             {secret, first(func(p *wire.Proven) { p.Proof[3] ^= 1 })},
		"the proof of another device": {secret, first(func(p *wire.Proven) { p.ID = gs[1].id })},
		"another nonce of the member": {secret, func(b *wire.SignIn) { b.MemberNonce = wire.NewNonce() }},
		"the secret of another epoch": {home.SecretBytes(wire.NewSeed()), nil},
	} {
		if got := code(hub.tries(1, c.secret, gs[:1], c.change)); got != wire.CodeForged {
			t.Errorf("%s: %s", name, got)
		}
	}
	if _, online := c.online(token); online != 0 {
		t.Fatalf("%d devices are signed in without a proof", online)
	}
	refusedWith(t, hub.tries(1, secret, gs[:1], func(b *wire.SignIn) { b.MemberNonce = nil }), wire.CodeForged)
	refusedWith(t, hub.tries(1, secret, gs[:1], func(b *wire.SignIn) { b.ServiceNonce = wire.NewNonce() }), wire.CodeNonce)

	// A reset ends every sign-in, and every nonce.
	_, w := hub.hello(1)
	if code := c.reset(c.forgot("web"), second); code != 0 {
		t.Fatal(code)
	}
	refusedWith(t, hub.tries(1, secret, gs[:1], nil), wire.CodeOldEpoch)
	raw, id, _ := hub.request(2, secret, w.Nonce, gs[:1], nil)
	hub.publish(raw)
	refusedWith(t, hub.next(id), wire.CodeNonce)
	if got := code(hub.tries(2, secret, gs[:1], nil)); got != wire.CodeForged {
		t.Errorf("a proof with the old epoch's secret: %s", got)
	}
	grants, _ := hub.hello(1)
	in, err := hub.id.OpenGrant(hub.id.Name, grants[0])
	if err != nil {
		t.Fatal(err)
	}

	// The service's nonce serves for ten minutes. An expired one is refused together with a new one, with which it works.
	_, w = hub.hello(2)
	c.clock.add(9 * time.Minute)
	raw, id, _ = hub.request(2, in.Secret, w.Nonce, gs[:1], nil)
	hub.publish(raw)
	if s := want[*wire.SignedIn](t, hub.next(id)); len(s.Devices) != 1 {
		t.Fatalf("after nine minutes: %+v", s)
	}
	c.clock.add(2 * time.Minute)
	raw, id, _ = hub.request(2, in.Secret, w.Nonce, gs[1:2], nil)
	hub.publish(raw)
	r := want[*wire.Refusal](t, hub.next(id))
	if r.Code != wire.CodeNonce || len(r.Nonce) == 0 {
		t.Fatalf("after eleven minutes: %+v", r)
	}
	raw, id, _ = hub.request(2, in.Secret, r.Nonce, gs[1:2], nil)
	hub.publish(raw)
	if s := want[*wire.SignedIn](t, hub.next(id)); len(s.Devices) != 1 {
		t.Fatalf("with the new nonce: %+v", s)
	}
}

// A request whose answer was lost is repeated as it was. It changes nothing, whatever has happened since.
func TestARepeatedRequestGetsTheSameAnswer(t *testing.T) {
	c := open(t, nil)
	token, hub, secret := c.enrolled()
	gs := hub.plugs("plug-", 2)
	other, _ := c.hub(c.pair(token))

	_, w := hub.hello(1)
	raw, id, _ := hub.request(1, secret, w.Nonce, append(gs, gadget{"absent", gs[0].secret}), nil)
	hub.publish(raw)
	before := want[*wire.SignedIn](t, hub.next(id))
	c.clock.add(11 * time.Minute) // past the life of the nonce
	hub.publish(raw)
	again := want[*wire.SignedIn](t, hub.next(id))
	if before.Nonce, again.Nonce = nil, nil; !reflect.DeepEqual(before, again) || len(again.Devices) != 2 ||
		len(again.Refused) != 1 {
		t.Errorf("%+v, and again %+v", before, again)
	}

	// An unbinding that is repeated after another hub has bound the device again takes nothing away from it.
	raw, id = hub.raw(&wire.Unbind{Account: hub.account, Devices: []string{gs[0].id}})
	hub.publish(raw)
	want[*wire.Receipt](t, hub.next(id))
	other.bind([]wire.Device{{ID: gs[0].id, Kind: "plug", Protocol: "iot"}}, []home.Key{gs[0].secret})
	hub.publish(raw)
	if r := want[*wire.Receipt](t, hub.next(id)); len(r.Refused) != 0 {
		t.Errorf("repeated: %+v", r)
	}
	if listed, _ := c.online(token); listed != 2 {
		t.Errorf("%d devices, want 2", listed)
	}
	// An older one is a replay.
	want[*wire.Receipt](t, hub.ask(&wire.Unbind{Account: hub.account, Devices: []string{"absent"}}))
	hub.publish(raw)
	c.dropped("replayed", 1)
}
