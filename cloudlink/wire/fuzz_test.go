package wire_test

import (
	"bytes"
	"cmp"
	"errors"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// FuzzParseMessage: a message that is read can be signed and read again, and is the same; other keys do not verify it.
func FuzzParseMessage(f *testing.F) {
	hub := identity(f, wire.RoleHub)
	for _, v := range readVectors(f).Messages {
		f.Add([]byte(v.JWS))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := wire.ParseMessage(raw)
		if err != nil {
			if m != nil {
				t.Errorf("%v, and %+v", err, m)
			}
			return
		}
		for _, k := range []wire.Keys{{}, hub.Keys} {
			if err := m.Verify(k, m.To); !errors.Is(err, home.ErrForged) {
				t.Fatalf("verifies: %v", err)
			}
		}
		out, err := hub.Sign(m)
		if err != nil {
			if len(raw) > wire.MaxMessage/6 {
				return // JSON makes < of one byte six
			}
			t.Fatalf("%s cannot be signed: %v", raw, err)
		}
		again, err := wire.ParseMessage(out)
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		if err := again.Verify(hub.Keys, m.To); err != nil {
			t.Fatal(err)
		}
		if a, b := asJSON(t, m), asJSON(t, again); a != b {
			t.Fatalf("%s became %s", a, b)
		}
	})
}

// FuzzParseNotice: a notice that is read keeps its text and hash, and follows only itself.
func FuzzParseNotice(f *testing.F) {
	for _, v := range readVectors(f).Notices {
		f.Add([]byte(v.JWS))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, err := wire.ParseNotice(raw)
		if err != nil {
			return
		}
		again, err := wire.ParseNotice(n.JWS())
		if err != nil || !bytes.Equal(again.Hash(), n.Hash()) || !bytes.Equal(n.JWS(), raw) {
			t.Fatalf("%s became %s", raw, n.JWS())
		}
		if err := n.Verify(wire.Keys{}, n.Account); !errors.Is(err, home.ErrForged) {
			t.Fatalf("it is unsigned: %v", err)
		}
		if err := n.Follows(home.Epoch(n.Epoch), n.Hash()); err != nil {
			t.Fatalf("does not follow itself: %v", err)
		}
		if err := n.Follows(home.LastEpoch, nil); err == nil {
			t.Fatal("follows the last epoch of another chain")
		}
	})
}

// FuzzParseTopic: a topic that is taken apart has a name that is one, and is what its parts give.
func FuzzParseTopic(f *testing.F) {
	for _, s := range []string{
		wire.NoticeTopic("a"), wire.InboxTopic("rk-a"), wire.StateTopic("a", "b"), wire.States("a"), "rekeyd/v1/#",
		"rekeyd/v1/hub//inbox", "rekeyd/v1/hub/a/inbox/", "/", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, ok := wire.ParseTopic(s)
		if !ok {
			if p != (wire.Topic{}) {
				t.Fatalf("%q is no topic, and %+v", s, p)
			}
			return
		}
		made := map[string]string{
			"notice": wire.NoticeTopic(p.Account), "state": wire.StateTopic(p.Account, p.Name),
			"status": wire.StatusTopic(p.Name),
			"inbox":  wire.InboxTopic(p.Name), "outbox": wire.OutboxTopic(p.Name),
		}
		if !wire.ValidName(cmp.Or(p.Name, p.Account)) || made[p.Leaf] != s {
			t.Fatalf("%q is %+v", s, p)
		}
	})
}

// FuzzCheckLogin: no login passes that a member did not sign.
func FuzzCheckLogin(f *testing.F) {
	v := readVectors(f).Login
	f.Add(v.Name, v.Password)
	f.Add(v.Name, "")
	f.Add("", v.Password)
	f.Add("svc-"+v.Name[4:], v.Password)
	f.Fuzz(func(t *testing.T, name, password string) {
		err := wire.CheckLogin(name, password)
		switch {
		case name == v.Name && password == v.Password:
			if err != nil {
				t.Fatal(err)
			}
		case err == nil && name != v.Name:
			t.Fatalf("%q gets in with %q", name, password)
		case err != nil && !errors.Is(err, home.ErrForged), err != nil && len(err.Error()) > 200:
			t.Fatalf("%.300v", err)
		}
	})
}
