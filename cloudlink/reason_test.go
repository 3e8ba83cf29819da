package cloudlink_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// isDown waits until the link is down for a reason with want in it, and compares the history.
func (b *hub) isDown(want string) {
	b.h.t.Helper()
	var reason string
	eventually(b.h.t, time.Minute, "the link is down: "+want, func() bool {
		up, why := b.link.State()
		reason = why
		return !up && strings.Contains(why, want)
	})
	eventually(b.h.t, time.Minute, "the reason is in the history", func() bool {
		es, err := b.store.History(100)
		must(b.h.t, err)
		for _, e := range es {
			if e.What == "link down" && e.Detail == reason {
				return true
			}
		}
		return false
	})
}

func TestTheReasonWhyTheLinkIsDownIsShown(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	var brokers []string
	b := h.hub(func(o *cloudlink.Options) { hasty(o); o.Brokers = brokers })
	b.enrol()
	b.stop()
	brokers = []string{"mqtt://127.0.0.1:1"}
	b.start()
	b.isDown("connection refused")
}

// secure opens a port with TLS in front of a broker. Its certificate is the test server's, which no system trusts.
func secure(t *testing.T, to string) (url string, ca *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	c := carryOn(t, tls.NewListener(l, &tls.Config{Certificates: s.TLS.Certificates}), to)
	t.Cleanup(c.close)
	ca = x509.NewCertPool()
	ca.AddCert(s.Certificate())
	return "mqtts://" + l.Addr().String(), ca
}

func TestABrokerWithItsOwnAuthorityNeedsItsCertificate(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	url, ca := secure(t, h.local)
	var given *x509.CertPool
	b := h.hub(func(o *cloudlink.Options) {
		hasty(o)
		o.Brokers, o.BrokerCA = []string{url}, given
	})
	const want = "give its authority with --broker-ca FILE"
	word := h.pair()
	eventually(t, time.Minute, "a login ends with "+want, func() bool { // it needs time for one connection
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := b.link.Enrol(ctx, word, email, home.NewSecret(password))
		return err != nil && strings.Contains(err.Error(), want)
	})
	b.stop()
	given = ca
	b.start()
	b.enrol()
	b.stop()
	given = nil
	b.start()
	b.isDown(want)
}

func TestABatchThatTheBrokerDoesNotCarryIsHalved(t *testing.T) {
	t.Parallel()
	for name, carries := range map[string]bool{"dropped": true, "cut": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, "")
			h.carrier.set(func(_ direction, p packets.ControlPacket, emit func(packets.ControlPacket)) bool {
				if m, ok := p.(*packets.PublishPacket); ok && len(m.Payload) > 4000 {
					return carries
				}
				emit(p)
				return true
			})
			b := h.hub(func(o *cloudlink.Options) { hasty(o); o.Batch = 0 })
			b.enrol()
			b.bind(40)
			b.settled(1, 2*time.Minute)
		})
	}
}

// The will of a connection before may come after the birth of this one, and the hub does not see it.
func TestAHubThatIsUpPublishesItsStatusAgain(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	b := h.hub(hasty)
	b.enrol()
	b.bind(1)
	b.settled(1, time.Minute)
	published := make(chan []byte, 100)
	topic := wire.StatusTopic(b.id.Name)
	h.carrier.set(func(d direction, p packets.ControlPacket, emit func(packets.ControlPacket)) bool {
		if m, ok := p.(*packets.PublishPacket); ok && d == up && m.TopicName == topic {
			published <- m.Payload
		}
		emit(p)
		return true
	})
	select {
	case raw := <-published:
		var got struct{ Online bool }
		if must(t, json.Unmarshal(raw, &got)); !got.Online {
			t.Errorf("published %s", raw)
		}
	case <-time.After(time.Minute):
		t.Fatal("a late will stands")
	}
}
