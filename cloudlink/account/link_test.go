package account_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// drops returns how many messages or requests were dropped for a reason since the service started.
func (c *cloud) drops(reason string) int {
	return strings.Count(c.log.String()[c.logged:], "reason="+reason)
}

// dropped waits until n were dropped for a reason.
func (c *cloud) dropped(reason string, n int) {
	c.t.Helper()
	eventually(c.t, fmt.Sprint(n, " ", reason), func() bool { return c.drops(reason) >= n })
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
	refusedWith(t, guess.ask(&wire.Hello{Account: w.Account}), wire.CodeUnknown)

	hub, _ := c.hub(w)
	want[*wire.Enrolled](t, hub.ask(enrolment(hub.id, w))) // its answer may have been lost
	refusedWith(t, guess.ask(enrolment(guess.id, w)), wire.CodePairing)

	// A hub that was removed is not let in again by an earlier message.
	if code := c.call(token, "removeHub", p{"hub": hub.id.Name}, nil); code != 0 {
		t.Fatal(code)
	}
	refusedWith(t, hub.ask(enrolment(hub.id, w)), wire.CodePairing)
	refusedWith(t, hub.ask(&wire.Hello{Account: w.Account}), wire.CodeUnknown)
	if code := c.call(token, "removeHub", p{"hub": hub.id.Name}, nil); code != -20580 {
		t.Fatal(code)
	}
}

// Whoever has an old copy of a hub's state can sign as the hub, and has its sealing key and the secrets of its epochs
// as they were.
func TestAnOldCopyOfAHubOpensNothingLater(t *testing.T) {
	c := open(t, nil)
	_, hub, secret := c.enrolled()
	_, w := hub.hello(1)
	challenge, err := hub.id.Open(wire.ChallengeInfo(hub.account, hub.id.Name), w.Challenge)
	if err != nil {
		t.Fatal(err)
	}
	stolen := *hub // now: signing key, sealing key, the secret of epoch 1, and even the challenge

	raw, id, next := hub.acks(1, secret, challenge) // the daily change, within the epoch
	hub.publish(raw)
	want[*wire.Receipt](t, hub.next(id))
	stolen.seq = hub.seq + 100

	// The thief announces a key of its own, with all that the copy has.
	_, w = stolen.hello(1)
	if _, err := hub.id.Open(wire.ChallengeInfo(hub.account, hub.id.Name), w.Challenge); err == nil {
		t.Error("the copy opens the challenge")
	}
	for name, guess := range map[string][]byte{
		"the old challenge": challenge, "none": nil, "the sealed one": w.Challenge,
	} {
		raw, id, _ := stolen.acks(1, secret, guess)
		stolen.publish(raw)
		refusedWith(t, stolen.next(id), wire.CodeForged)
		_ = name
	}
	// The next epoch's grant is sealed to the new key, as it comes and as it is asked for.
	if code := c.reset(c.forgot("web"), second); code != 0 {
		t.Fatal(code)
	}
	gs, _ := stolen.hello(1)
	if len(gs) != 1 {
		t.Fatalf("%d grants, want that of epoch 2", len(gs))
	}
	if _, err := hub.id.OpenGrant(hub.id.Name, gs[0]); err == nil {
		t.Error("the copy opens a grant that is younger than the last key")
	}
	in, err := next.OpenGrant(hub.id.Name, gs[0])
	if err != nil || in.Password.Reveal() != second {
		t.Fatalf("the hub cannot open its grant: %v", err)
	}
	hub.seq = stolen.seq + 100
	_, w = hub.hello(1)
	if challenge, err = next.Open(wire.ChallengeInfo(hub.account, hub.id.Name), w.Challenge); err != nil {
		t.Fatal(err)
	}
	raw, id, _ = hub.acks(2, in.Secret, challenge)
	hub.publish(raw)
	want[*wire.Receipt](t, hub.next(id))

	// Once it was acknowledged, the service has deleted it, and answers a member from a backup so.
	if gs, _ := hub.hello(2); len(gs) != 0 {
		t.Errorf("%d grants are left", len(gs))
	}
	refusedWith(t, hub.ask(&wire.Hello{Account: hub.account, Epoch: 1}), wire.CodeUnknown)
}

func TestWhatIsDroppedIsCountedAndChangesNothing(t *testing.T) {
	c := open(t, nil)
	_, hub, secret := c.enrolled()
	gs := hub.plugs("plug-", 2)
	before, _ := hub.raw(&wire.Unbind{Account: hub.account, Devices: []string{gs[0].id}})
	hub.ask(&wire.Unbind{Account: hub.account, Devices: []string{"absent"}})
	hub.publish(before) // an older sequence number
	c.dropped("replayed", 1)
	hub.publish([]byte("{not json"))
	hub.publish([]byte(`{"type":"nonsense","body":{}}`))
	c.dropped("malformed", 2)
	raw, _ := hub.raw(&wire.Unbind{Account: hub.account, Devices: []string{gs[0].id}})
	parts := strings.Split(string(raw), ".") // a name in the body is another: the signature does not hold
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), gs[0].id, gs[1].id, 1)))
	hub.publish([]byte(strings.Join(parts, ".")))
	c.dropped("forged", 1)
	expired := &wire.Message{
		ID: wire.NewID(), To: c.s.Name(), Seq: hub.seq + 1, At: 1, Exp: 2,
		Body: &wire.Unbind{Account: hub.account, Devices: []string{gs[0].id}},
	}
	late, err := hub.id.Sign(expired)
	if err != nil {
		t.Fatal(err)
	}
	hub.publish(late)
	c.dropped("expired", 1)
	hub.signIn(1, secret, gs) // both are still bound
}

func TestAHubActsForItsOwnAccountAndDevicesOnly(t *testing.T) {
	c := open(t, nil)
	token, hub, secret := c.enrolled()
	gs := hub.plugs("plug-", 1)

	if code := c.call("", "register", p{"email": "other@example.org", "password": password}, nil); code != 0 {
		t.Fatal(code)
	}
	var r struct{ Token string }
	c.call(
		"", "login", p{"appType": "", "cloudUserName": "other@example.org", "cloudPassword": password, "terminalUUID": ""},
		&r,
	)
	w := c.pair(r.Token)
	other := c.member(wire.RoleHub, w.Account)
	raw, id := other.raw(enrolment(other.id, w))
	other.publish(raw)
	want[*wire.Enrolled](t, other.next(id))

	// A device of another account is an unknown one: nothing reveals that the other account has it.
	unknown := func(ids ...string) {
		t.Helper()
		var theirs []gadget
		for _, id := range ids {
			theirs = append(theirs, gadget{id, gs[0].secret})
		}
		answer := want[*wire.SignedIn](t, other.tries(1, secret, theirs, nil))
		for _, o := range answer.Refused {
			if o.Code != wire.CodeUnknown {
				t.Errorf("answer %+v", answer)
			}
		}
		if len(answer.Refused) != len(ids) {
			t.Errorf("answer %+v", answer)
		}
	}
	unknown(gs[0].id, "absent")
	refusedWith(t, other.ask(&wire.Unbind{Account: hub.account, Devices: []string{gs[0].id}}), wire.CodeForeign)
	refusedWith(t, other.ask(&wire.Hello{Account: hub.account}), wire.CodeForeign)
	if code := c.call(r.Token, "unbindDevice", p{"deviceId": gs[0].id}, nil); code != -20580 {
		t.Error(code)
	}
	credential := p{"deviceId": gs[0].id, "cloudUserName": "other@example.org", "cloudPassword": password}
	if code := c.call("", "bindDevice", credential, nil); code != 0 {
		t.Error(code)
	}

	// Both accounts can bind a device of the same ID. To each it is its own.
	bound := other.bind(
		[]wire.Device{{ID: gs[0].id, Kind: "plug", Protocol: "iot"}}, []home.Key{home.KeyBytes(wire.NewSeed())},
	)
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

	// Another hub of the same account takes a device over where the first has no lease, and then the first no longer
	// speaks for it.
	second, _ := c.hub(c.pair(token))
	want[*wire.Leased](t, hub.ask(&wire.Lease{Account: hub.account, Release: true}))
	taken := second.bind([]wire.Device{{ID: gs[0].id, Kind: "plug", Protocol: "iot"}}, []home.Key{gs[0].secret})
	if r := want[*wire.Receipt](t, taken); len(r.Refused) != 0 {
		t.Fatalf("not taken over: %+v", r)
	}
	second.signIn(1, secret, gs)
	answer := want[*wire.SignedIn](t, hub.tries(1, secret, gs, nil))
	if len(answer.Refused) != 1 || answer.Refused[0].Code != wire.CodeForeign {
		t.Errorf("answer %+v", answer)
	}
}

func TestADeviceThatSpeaksTheLinkSignsItselfIn(t *testing.T) {
	c := open(t, nil)
	_, hub, _ := c.enrolled()
	cam := c.member(wire.RoleDevice, hub.account)
	binding := home.KeyBytes(wire.NewSeed())
	enrol := func() wire.Body {
		sealed, err := c.s.Identity().Keys.SealTo(wire.SecretInfo(hub.account, cam.id.Name), binding.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		raw, id := cam.raw(&wire.Enrol{Account: hub.account, Keys: cam.id.Keys, Name: "camera", Secret: sealed})
		cam.publish(raw)
		return cam.next(id)
	}
	refusedWith(t, enrol(), wire.CodeUnknown) // no hub has bound it
	zeroes := home.KeyBytes(make([]byte, 32))
	camera := []wire.Device{{ID: cam.id.Name, Kind: "camera", Protocol: "native"}}
	if r := want[*wire.Receipt](t, hub.bind(camera, []home.Key{zeroes})); len(r.Refused) > 0 {
		t.Fatal(r.Refused)
	}
	plugs := []wire.Device{
		{ID: "plug-0", Kind: "plug", Protocol: "native"}, {ID: "plug-1", Kind: "plug", Protocol: "iot"},
	}
	if r := want[*wire.Receipt](t, hub.bind(plugs, []home.Key{zeroes, zeroes})); len(r.Refused) != 2 {
		t.Fatal("devices without keys or secret were bound")
	}
	e := want[*wire.Enrolled](t, enrol())
	if e.Email != "" {
		t.Error("a device received the e-mail address")
	}
	ask := func() (signedIn bool) {
		t.Helper()
		answer := want[*wire.SignedIn](
			t, hub.tries(2, home.SecretBytes(wire.NewSeed()), []gadget{{cam.id.Name, binding}}, nil),
		)
		switch {
		case len(answer.Devices) == 1 && len(answer.Devices[0].Proof) == 0:
			return true
		case len(answer.Refused) != 1 || answer.Refused[0].Code != wire.CodeWaiting:
			t.Fatalf("answer %+v", answer)
		}
		return false
	}
	if code := c.reset(c.forgot("tpcamera"), second); code != 0 {
		t.Fatal(code)
	}
	g := want[*wire.Grant](t, cam.next(""))
	if g.Notice.Epoch == 1 {
		g = want[*wire.Grant](t, cam.next(""))
	}
	in, err := cam.id.OpenGrant(cam.id.Name, g)
	if err != nil || in.Username != "" || !in.Password.IsZero() {
		t.Fatalf("a device's grant: %v, or it holds the password", err)
	}
	if ask() {
		t.Error("signed in before it was")
	}
	cam.signIn(2, in.Secret, []gadget{{cam.id.Name, binding}})
	if !ask() {
		t.Error("the hub has no answer that it signed in")
	}

	// A hub that the owner leaves out goes, with what it brought in.
	if code := c.reset(c.forgot("web"), password, hub.id.Name); code != 0 {
		t.Fatal(code)
	}
	refusedWith(t, hub.ask(&wire.Hello{Account: hub.account, Epoch: 2}), wire.CodeUnknown)
	refusedWith(t, cam.ask(&wire.Hello{Account: hub.account, Epoch: 2}), wire.CodeUnknown)
	if listed, _ := c.online(c.signIn()); listed != 0 {
		t.Errorf("%d devices left", listed)
	}
}

func TestWhoeverMissedAGrantAsksForItAlsoAfterACrash(t *testing.T) {
	c := open(t, nil)
	_, hub, secret := c.enrolled()
	gs := hub.plugs("plug-", 3)
	hub.signIn(1, secret, gs)
	hub.leave() // and receives nothing of what follows
	for _, pw := range []string{second, password} {
		if code := c.reset(c.forgot("kasa"), pw); code != 0 {
			t.Fatal(code)
		}
	}
	stop := c.stop
	stop()
	c.start()
	again := c.connect(hub.id, hub.account)
	n := again.notice(3) // sent again
	again.seq = hub.seq
	raw, id := again.raw(&wire.Hello{Account: hub.account, Epoch: 1})
	again.publish(raw)
	var last home.Secret
	for e := uint64(2); e <= 3; e++ {
		g := want[*wire.Grant](t, again.next(id))
		in, err := hub.id.OpenGrant(hub.id.Name, g)
		if err != nil || g.Notice.Epoch != e || in.Password.Reveal() != []string{second, password}[e-2] {
			t.Fatalf("grant of epoch %d: %v", g.Notice.Epoch, err)
		}
		last = in.Secret
		if e == 3 && string(g.Notice.Hash()) != string(n.Hash()) {
			t.Error("notice and grant have different epochs")
		}
	}
	if w := want[*wire.Welcome](t, again.next(id)); w.Epoch != 3 {
		t.Fatalf("welcome %+v", w)
	}
	again.signIn(3, last, gs) // binding secrets survived, sealed
	// A request before the restart is known after it.
	old := &by{t: t, c: c, id: hub.id, account: hub.account, conn: again.conn, in: again.in, seq: hub.seq - 1}
	raw, _ = old.raw(&wire.Unbind{Account: hub.account, Devices: []string{gs[0].id}})
	old.publish(raw)
	c.dropped("replayed", 1)
}

func TestAFloodOfOneMemberIsCutAndOthersAreServed(t *testing.T) {
	c := open(t, nil)
	_, hub, _ := c.enrolled()
	bad := c.member(wire.RoleHub, hub.account)
	for range 2000 {
		if err := bad.conn.Publish(mqtt.Message{Topic: wire.OutboxTopic(bad.id.Name), Payload: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	want[*wire.Welcome](t, hub.ask(&wire.Hello{Account: hub.account, Epoch: 1}))
}
