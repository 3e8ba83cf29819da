package cloudlink_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/rekeyd/rekeyd/cloudlink/device"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// forms returns how a secret could be written.
func forms(s string) [][]byte {
	return [][]byte{
		[]byte(s), []byte(hex.EncodeToString([]byte(s))), []byte(base64.StdEncoding.EncodeToString([]byte(s))),
		[]byte(base64.RawURLEncoding.EncodeToString([]byte(s))),
	}
}

func TestNoSecretIsOnTheBrokerOrInALog(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	var log lines
	h.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var mu sync.Mutex // guards what follows
	var wire, retained bytes.Buffer
	h.carrier.set(func(_ direction, p packets.ControlPacket, emit func(packets.ControlPacket)) bool {
		if pub, ok := p.(*packets.PublishPacket); ok {
			mu.Lock()
			wire.WriteString(pub.TopicName + " ")
			for _, part := range append(bytes.Split(pub.Payload, []byte(".")), pub.Payload) {
				if decoded, err := base64.RawURLEncoding.DecodeString(string(part)); err == nil {
					part = decoded // of a JWS: base64 hides nothing, but from this test
				}
				wire.Write(part)
				if pub.Retain {
					retained.Write(part)
				}
			}
			mu.Unlock()
		}
		emit(p)
		return true
	})
	b := h.hub(nil)
	p := h.pair()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(t, b.link.Enrol(ctx, p, email, home.NewSecret(password)))
	b.account = home.AccountID(p.Account)
	b.bind(5)
	b.settled(1, time.Minute)
	n := startNative(t, h, device.File(filepath.Join(t.TempDir(), "state")))
	a, err := b.store.Account()
	must(t, err)
	if code := n.join(b.id, a, h.brokers()); code != "" {
		t.Fatalf("join refused: %s", code)
	}
	must(t, b.store.Bind(b.account, []home.Device{{ID: n.d.ID(), Kind: home.Plug, Protocol: home.Native, Name: "lamp"}}))
	b.link.Wake()
	n.holds(1)
	const second = "second-Horse-Battery"
	h.reset(second)
	b.waitEpoch(2, time.Minute)
	b.see(2)
	n.holds(2)
	eventually(t, time.Minute, "an empty outbox", func() bool {
		es, err := b.store.Errands(1)
		must(t, err)
		return len(es) == 0
	})
	h.carrier.set(nil)

	keys, err := b.store.HubKeys()
	must(t, err)
	secrets := map[string]string{
		"the first password": password, "the second password": second, "the pairing": p.Secret.Reveal(),
		"the session's token":   h.token,
		"the hub's signing key": keys.Sign.Reveal(), "the hub's sealing key": keys.Seal.Reveal(),
		"the hub's login": b.id.Login().Reveal(),
	}
	cs, err := b.store.Credentials(b.account)
	must(t, err)
	for _, c := range cs {
		secrets[fmt.Sprint("the secret of epoch ", c.Epoch)] = c.EpochSecret.Reveal()
	}
	bs, err := b.store.BindingSecrets(b.devices)
	must(t, err)
	for d, s := range bs {
		secrets["the binding secret of "+string(d)] = string(s.Reveal())
	}
	mu.Lock()
	defer mu.Unlock()
	log.mu.Lock()
	defer log.mu.Unlock()
	if len(secrets) != 7+2+5 || wire.Len() < 10_000 || log.b.Len() < 1000 ||
		!bytes.Contains(wire.Bytes(), []byte(b.devices[0])) {
		t.Fatalf("%d secrets, %d bytes carried, %d logged: nothing to look into", len(secrets), wire.Len(), log.b.Len())
	}
	for what, s := range secrets {
		if len(s) < 12 {
			t.Fatalf("%s has %d bytes", what, len(s))
		}
		for _, f := range forms(s) {
			if bytes.Contains(wire.Bytes(), f) {
				t.Errorf("%s was on the broker", what)
			}
			if bytes.Contains(log.b.Bytes(), f) {
				t.Errorf("%s is in the log", what)
			}
		}
	}
	if retained.Len() == 0 || bytes.Contains(retained.Bytes(), []byte(email)) {
		t.Errorf("the owner's address stays on the broker, or nothing does: %s", retained.Bytes())
	}
}
