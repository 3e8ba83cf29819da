package account_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func (c *cloud) counted(what string, n uint64) {
	c.t.Helper()
	eventually(c.t, what+" counted", func() bool { return c.s.Counts()[what] >= n })
}

func TestAPairingIsUsedByOneHubAndOnce(t *testing.T) {
	c := open(t, nil)
	c.register()
	token := c.signIn()
	w := c.pair(token)

	wrong := w
	wrong.Secret = home.NewSecret("AAAAAAAAAAAAAAAAAAAAAAAAAA")
	guess := c.member(wire.RoleHub, w.Account)
	refusedWith(t, guess.ask(enrolment(guess.id, wrong)), wire.CodePairing)
	another := w
	another.Name = "nothing"
	refusedWith(t, guess.ask(enrolment(guess.id, another)), wire.CodePairing)
	refusedWith(t, guess.ask(&wire.Ask{Account: w.Account}), wire.CodeUnknown)

	hub, _ := c.hub(w)
	want[*wire.Enrolled](t, hub.ask(enrolment(hub.id, w))) // its answer may have been lost
	refusedWith(t, guess.ask(enrolment(guess.id, w)), wire.CodePairing)

	// A hub that was removed is not let in again by what it said before.
	if code := c.call(token, "removeHub", p{"hub": hub.id.Name}, nil); code != 0 {
		t.Fatal(code)
	}
	refusedWith(t, hub.ask(enrolment(hub.id, w)), wire.CodePairing)
	refusedWith(t, hub.ask(&wire.Ask{Account: w.Account}), wire.CodeUnknown)
	if code := c.call(token, "removeHub", p{"hub": hub.id.Name}, nil); code != -20580 {
		t.Fatal(code)
	}
}

func TestProofsThatDoNotHoldAreRefused(t *testing.T) {
	c := open(t, nil)
	c.register()
	hub, secret := c.hub(c.pair(c.signIn()))
	gs := hub.plugs("plug-", 1)
	code := func(b wire.Body) string {
		t.Helper()
		s := want[*wire.Session](t, b)
		if len(s.Refused) != 1 || len(s.Devices) != 0 {
			t.Fatalf("session %+v", s)
		}
		return s.Refused[0].Code
	}

	proof := proofOf(hub.begin(1, secret, gs))
	if s := want[*wire.Session](t, hub.ask(proof)); len(s.Devices) != 1 {
		t.Fatalf("refused: %v", s.Refused)
	}
	if got := code(hub.ask(proof)); got != wire.CodeNoSession {
		t.Errorf("a proof twice: %s", got)
	}
	signs := hub.begin(1, secret, gs)
	service, _ := signs[0].Proofs()
	reflected := proofOf(signs)
	reflected.Devices[0].Proof = service
	if got := code(hub.ask(reflected)); got != wire.CodeForged {
		t.Errorf("a reflected proof: %s", got)
	}
	if got := code(hub.ask(proofOf(signs))); got != wire.CodeNoSession {
		t.Errorf("a challenge twice: %s", got)
	}
	if got := code(hub.ask(proof)); got != wire.CodeNoSession {
		t.Errorf("a proof for an older challenge: %s", got)
	}

	if code := c.reset(c.forgot("web"), second); code != 0 {
		t.Fatal(code)
	}
	refusedWith(t, hub.ask(&wire.Begin{Account: hub.account, Epoch: 1, Devices: []wire.Nonce{{ID: gs[0].id, Nonce: wire.NewNonce()}}}), wire.CodeOldEpoch)
	refusedWith(t, hub.ask(&wire.Confirm{Account: hub.account, Epoch: 1, Devices: []string{gs[0].id}}), wire.CodeOldEpoch)
	begun := want[*wire.Challenge](t, hub.ask(&wire.Begin{Account: hub.account, Epoch: 2, Devices: []wire.Nonce{{ID: gs[0].id, Nonce: wire.NewNonce()}}}))
	old := wire.SignIn{
		Account: hub.account, Member: hub.id.Name, Device: gs[0].id, Epoch: 2, MemberNonce: wire.NewNonce(),
		ServiceNonce: begun.Devices[0].Nonce, EpochSecret: secret, BindingSecret: gs[0].secret,
	}
	if got := code(hub.ask(proofOf([]wire.SignIn{old}))); got != wire.CodeForged {
		t.Errorf("a proof with the old epoch's secret: %s", got)
	}
	r := want[*wire.Receipt](t, hub.ask(&wire.Confirm{Account: hub.account, Epoch: 2, Devices: []string{gs[0].id}}))
	if len(r.Refused) != 1 || r.Refused[0].Code != wire.CodeNoSession {
		t.Errorf("confirmed without a session: %+v", r)
	}
}

func TestWhatIsDroppedIsCountedAndChangesNothing(t *testing.T) {
	c := open(t, nil)
	c.register()
	hub, secret := c.hub(c.pair(c.signIn()))
	gs := hub.plugs("plug-", 2)
	before, _ := hub.raw(&wire.Unbind{Account: hub.account, Devices: []string{gs[0].id}})
	hub.ask(&wire.Ask{Account: hub.account, Epoch: 1})
	hub.publish(before) // an older sequence number
	c.counted("replayed", 1)
	hub.publish([]byte("{not json"))
	hub.publish([]byte(`{"type":"nonsense","body":{}}`))
	c.counted("malformed", 2)
	raw, _ := hub.raw(&wire.Unbind{Account: hub.account, Devices: []string{gs[0].id}})
	parts := strings.Split(string(raw), ".") // a name in the body is another: the signature does not hold
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), gs[0].id, gs[1].id, 1)))
	hub.publish([]byte(strings.Join(parts, ".")))
	c.counted("forged", 1)
	expired := &wire.Message{ID: wire.NewID(), To: c.s.Name(), Seq: hub.seq + 1, At: 1, Exp: 2, Body: &wire.Unbind{Account: hub.account, Devices: []string{gs[0].id}}}
	late, err := hub.id.Sign(expired)
	if err != nil {
		t.Fatal(err)
	}
	hub.publish(late)
	c.counted("expired", 1)
	hub.signIn(1, secret, gs) // both are still bound
}

func TestAHubActsForItsOwnAccountAndDevicesOnly(t *testing.T) {
	c := open(t, nil)
	c.register()
	token := c.signIn()
	hub, secret := c.hub(c.pair(token))
	gs := hub.plugs("plug-", 1)

	if code := c.call("", "register", p{"email": "other@example.org", "password": password}, nil); code != 0 {
		t.Fatal(code)
	}
	var r struct{ Token string }
	c.call("", "login", p{"appType": "", "cloudUserName": "other@example.org", "cloudPassword": password, "terminalUUID": ""}, &r)
	w := c.pair(r.Token)
	other := c.member(wire.RoleHub, w.Account)
	raw, id := other.raw(enrolment(other.id, w))
	other.publish(raw)
	want[*wire.Enrolled](t, other.next(id))

	// A device of another account is an unknown one: nothing reveals that the other account has it.
	unknown := func(ids ...string) {
		t.Helper()
		b := &wire.Begin{Account: other.account, Epoch: 1}
		for _, id := range ids {
			b.Devices = append(b.Devices, wire.Nonce{ID: id, Nonce: wire.NewNonce()})
		}
		ch := want[*wire.Challenge](t, other.ask(b))
		for _, o := range ch.Refused {
			if o.Code != wire.CodeUnknown {
				t.Errorf("challenge %+v", ch)
			}
		}
		if len(ch.Refused) != len(ids) {
			t.Errorf("challenge %+v", ch)
		}
	}
	unknown(gs[0].id, "nobody")
	refusedWith(t, other.ask(&wire.Unbind{Account: hub.account, Devices: []string{gs[0].id}}), wire.CodeForeign)
	refusedWith(t, other.ask(&wire.Ask{Account: hub.account}), wire.CodeForeign)
	if code := c.call(r.Token, "unbindDevice", p{"deviceId": gs[0].id}, nil); code != -20580 {
		t.Error(code)
	}
	if code := c.call("", "bindDevice", p{"deviceId": gs[0].id, "cloudUserName": "other@example.org", "cloudPassword": password}, nil); code != 0 {
		t.Error(code)
	}

	// Both accounts can bind a device of the same ID. To each it is its own.
	bound := other.bind([]wire.Device{{ID: gs[0].id, Kind: "plug", Protocol: "iot"}}, []home.Secret{home.SecretBytes(wire.NewSeed())})
	if r := want[*wire.Receipt](t, bound); len(r.Refused) != 0 {
		t.Errorf("binding was blocked by another account: %+v", r)
	}
	hub.signIn(1, secret, gs)
	if code := c.call(r.Token, "unbindDevice", p{"deviceId": gs[0].id}, nil); code != 0 {
		t.Error(code)
	}
	unknown(gs[0].id)
	if listed, online := c.online(token); listed != 1 || online != 1 {
		t.Errorf("%d listed and %d online, want 1: another account unbound its own device", listed, online)
	}

	// Another hub of the same account takes a device over, and then the first no longer speaks for it.
	second, _ := c.hub(c.pair(token))
	taken := second.bind([]wire.Device{{ID: gs[0].id, Kind: "plug", Protocol: "iot"}}, []home.Secret{gs[0].secret})
	if r := want[*wire.Receipt](t, taken); len(r.Refused) != 0 {
		t.Fatalf("not taken over: %+v", r)
	}
	second.signIn(1, secret, gs)
	ch := want[*wire.Challenge](t, hub.ask(&wire.Begin{Account: hub.account, Epoch: 1, Devices: []wire.Nonce{{ID: gs[0].id, Nonce: wire.NewNonce()}}}))
	if len(ch.Refused) != 1 || ch.Refused[0].Code != wire.CodeForeign {
		t.Errorf("challenge %+v", ch)
	}
}

func TestADeviceThatSpeaksTheLinkSignsItselfIn(t *testing.T) {
	c := open(t, nil)
	c.register()
	token := c.signIn()
	hub, _ := c.hub(c.pair(token))
	cam := c.member(wire.RoleDevice, hub.account)
	binding := home.SecretBytes(wire.NewSeed())
	enrol := func() wire.Body {
		sealed, err := c.s.Identity().Keys.SealTo(wire.SecretInfo(hub.account, cam.id.Name), []byte(binding.Reveal()))
		if err != nil {
			t.Fatal(err)
		}
		raw, id := cam.raw(&wire.Enrol{Keys: cam.id.Keys, Name: "camera", Secret: sealed})
		cam.publish(raw)
		return cam.next(id)
	}
	refusedWith(t, enrol(), wire.CodeUnknown) // no hub has bound it
	zeroes := home.SecretBytes(make([]byte, 32))
	if r := want[*wire.Receipt](t, hub.bind([]wire.Device{{ID: cam.id.Name, Kind: "camera", Protocol: "native"}}, []home.Secret{zeroes})); len(r.Refused) > 0 {
		t.Fatal(r.Refused)
	}
	if r := want[*wire.Receipt](t, hub.bind([]wire.Device{{ID: "plug-0", Kind: "plug", Protocol: "native"}, {ID: "plug-1", Kind: "plug", Protocol: "iot"}}, []home.Secret{zeroes, zeroes})); len(r.Refused) != 2 {
		t.Fatal("devices without keys or secret were bound")
	}
	e := want[*wire.Enrolled](t, enrol())
	if e.Email != "" {
		t.Error("a device was told the e-mail address")
	}
	ask := func() *wire.Challenged {
		t.Helper()
		ch := want[*wire.Challenge](t, hub.ask(&wire.Begin{Account: hub.account, Epoch: 2, Devices: []wire.Nonce{{ID: cam.id.Name, Nonce: wire.NewNonce()}}}))
		if len(ch.Devices) != 1 || !ch.Devices[0].Own {
			t.Fatalf("challenge %+v", ch)
		}
		return &ch.Devices[0]
	}
	if code := c.reset(c.forgot("tpcamera"), second); code != 0 {
		t.Fatal(code)
	}
	g := want[*wire.Grant](t, cam.next(""))
	if g.Notice.Epoch == 1 {
		g = want[*wire.Grant](t, cam.next(""))
	}
	in, err := cam.id.OpenGrant(g)
	if err != nil || in.Username != "" || !in.Password.IsZero() {
		t.Fatalf("a device's grant: %v, or it holds the password", err)
	}
	if ask().SignedIn {
		t.Error("signed in before it was")
	}
	cam.signIn(2, in.Secret, []gadget{{cam.id.Name, binding}})
	if !ask().SignedIn {
		t.Error("the hub is not told that it signed in")
	}

	// A hub that the owner leaves out goes, with what it brought in.
	if code := c.reset(c.forgot("web"), password, hub.id.Name); code != 0 {
		t.Fatal(code)
	}
	refusedWith(t, hub.ask(&wire.Ask{Account: hub.account, Epoch: 2}), wire.CodeUnknown)
	refusedWith(t, cam.ask(&wire.Ask{Account: hub.account, Epoch: 2}), wire.CodeUnknown)
	if listed, _ := c.online(c.signIn()); listed != 0 {
		t.Errorf("%d devices left", listed)
	}
}

func TestWhoeverMissedAGrantAsksForItAlsoAfterACrash(t *testing.T) {
	c := open(t, nil)
	c.register()
	hub, secret := c.hub(c.pair(c.signIn()))
	gs := hub.plugs("plug-", 3)
	hub.signIn(1, secret, gs)
	hub.leave() // and hears nothing of what follows
	for _, pw := range []string{second, password} {
		if code := c.reset(c.forgot("kasa"), pw); code != 0 {
			t.Fatal(code)
		}
	}
	stop := c.stop
	stop()
	c.start()
	again := c.connect(hub.id, hub.account)
	n := again.notice(3) // said again
	raw, id := again.raw(&wire.Ask{Account: hub.account, Epoch: 1})
	again.publish(raw)
	var last home.Secret
	for e := uint64(2); e <= 3; e++ {
		g := want[*wire.Grant](t, again.next(id))
		in, err := hub.id.OpenGrant(g)
		if err != nil || g.Notice.Epoch != e || in.Password.Reveal() != []string{second, password}[e-2] {
			t.Fatalf("grant of epoch %d: %v", g.Notice.Epoch, err)
		}
		last = in.Secret
		if e == 3 && string(g.Notice.Hash()) != string(n.Hash()) {
			t.Error("notice and grant tell of different epochs")
		}
	}
	if r := want[*wire.Receipt](t, again.next(id)); r.Epoch != 3 {
		t.Fatalf("receipt %+v", r)
	}
	again.signIn(3, last, gs) // binding secrets survived, sealed
	// What was said before the restart is known after it.
	old := &by{t: t, c: c, id: hub.id, account: hub.account, conn: again.conn, in: again.in, seq: hub.seq - 1}
	raw, _ = old.raw(&wire.Unbind{Account: hub.account, Devices: []string{gs[0].id}})
	old.publish(raw)
	c.counted("replayed", 1)
}

func TestAFloodOfOneMemberIsCutAndOthersAreServed(t *testing.T) {
	c := open(t, nil)
	c.register()
	hub, _ := c.hub(c.pair(c.signIn()))
	bad := c.member(wire.RoleHub, hub.account)
	for range 2000 {
		if err := bad.conn.Publish(mqtt.Message{Topic: wire.OutboxTopic(bad.id.Name), Payload: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	want[*wire.Receipt](t, hub.ask(&wire.Ask{Account: hub.account, Epoch: 1}))
}
