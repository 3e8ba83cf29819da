package wire_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func identity(t testing.TB, r wire.Role) *wire.Identity {
	t.Helper()
	id, err := wire.NewIdentity(r, wire.NewSeed(), wire.NewSeed())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestMessageSurvivesTheWireAndShowsItsSender(t *testing.T) {
	hub, other := identity(t, wire.RoleHub), identity(t, wire.RoleHub)
	svc := identity(t, wire.RoleService)
	m := &wire.Message{To: svc.Name, Seq: 7, At: time.Now().UnixMilli(), Body: &wire.SignIn{
		Account: "acc-1", Epoch: 1<<64 - 1, Devices: []wire.Proven{{ID: "mac-1", Proof: wire.NewNonce()}},
	}}
	raw, err := hub.Sign(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.ParseMessage(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Verify(hub.Keys, svc.Name); err != nil {
		t.Errorf("honest message: %v", err)
	}
	if err := got.Verify(other.Keys, svc.Name); !errors.Is(err, home.ErrForged) {
		t.Errorf("under another member's keys: %v", err)
	}
	if err := got.Verify(hub.Keys, other.Name); !errors.Is(err, home.ErrForged) {
		t.Errorf("sent to somebody else: %v", err)
	}
	bad, err := wire.ParseMessage(tamper(t, raw, `"seq":"7"`, `"seq":"8"`))
	if err != nil || !errors.Is(bad.Verify(hub.Keys, svc.Name), home.ErrForged) {
		t.Errorf("with another sequence number: %v", err)
	}
	bad, err = wire.ParseMessage(tamper(t, raw, `mac-1`, `mac-2`))
	if err != nil || !errors.Is(bad.Verify(hub.Keys, svc.Name), home.ErrForged) {
		t.Errorf("with another device: %v", err)
	}
}

func TestGrantOpensForItsMemberOnly(t *testing.T) {
	hub, other := identity(t, wire.RoleHub), identity(t, wire.RoleHub)
	in := wire.Granted{
		Secret: home.SecretBytes(wire.NewSeed()), Username: "Anna@example.org", Password: home.NewSecret(`p%"\&+`),
	}
	sealed, err := hub.Keys.SealGrant("acc-1", hub.Name, 5, in)
	if err != nil {
		t.Fatal(err)
	}
	g := &wire.Grant{Notice: wire.Notice{Account: "acc-1", Epoch: 5}, Sealed: sealed}
	if out, err := hub.OpenGrant(hub.Name, g); err != nil || out != in {
		t.Errorf("opened %v, %v", out, err)
	}
	for name, g := range map[string]*wire.Grant{
		"another account": {Notice: wire.Notice{Account: "acc-2", Epoch: 5}, Sealed: sealed},
		"another epoch":   {Notice: wire.Notice{Account: "acc-1", Epoch: 6}, Sealed: sealed},
		"cut short":       {Notice: wire.Notice{Account: "acc-1", Epoch: 5}, Sealed: sealed[:20]},
	} {
		if _, err := hub.OpenGrant(hub.Name, g); !errors.Is(err, home.ErrForged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := other.OpenGrant(hub.Name, g); !errors.Is(err, home.ErrForged) {
		t.Errorf("another hub: %v", err)
	}
}

func TestNoticesFollowOneAnother(t *testing.T) {
	svc := identity(t, wire.RoleService)
	n := func(epoch uint64, prev []byte) wire.Notice {
		return svc.SignNotice(wire.Notice{Account: "acc-1", Epoch: epoch, At: int64(epoch), Prev: prev})
	}
	n1 := n(1, nil)
	n2 := n(2, n1.Hash())
	n3 := n(3, n2.Hash())
	last := n(1<<64-1, n1.Hash())
	for _, c := range []struct {
		name  string
		n     wire.Notice
		epoch home.Epoch
		hash  []byte
		want  error
	}{
		{"the first of all", n1, 0, nil, nil},
		{"the next", n2, 1, n1.Hash(), nil},
		{"the same again", n2, 2, n2.Hash(), nil},
		{"another of the same epoch", n(2, nil), 2, n2.Hash(), home.ErrForged},
		{"the next of another chain", n3, 2, n1.Hash(), home.ErrForged},
		{"older", n1, 2, n2.Hash(), home.ErrOldEpoch},
		{"one too far", n3, 1, n1.Hash(), wire.ErrGap},
		{"the last value", last, 1, n1.Hash(), home.ErrForged},
		{"after the last value", n(0, last.Hash()), 1<<64 - 1, last.Hash(), home.ErrOldEpoch},
	} {
		if err := c.n.Follows(c.epoch, c.hash); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestAFingerprintSurvivesTheURL(t *testing.T) {
	bs := []wire.Broker{{URL: "mqtts://h:1", Fingerprint: bytes.Repeat([]byte{7}, 32)}, {URL: "mqtt://h:2"}}
	if got := wire.Brokers(wire.URLs(bs)); !reflect.DeepEqual(got, bs) {
		t.Errorf("%v, want %v", got, bs)
	}
}
