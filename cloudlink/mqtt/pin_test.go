package mqtt_test

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
)

func TestOnlyThePinnedCertificateIsAccepted(t *testing.T) {
	srv := httptest.NewTLSServer(nil) // for its certificate
	defer srv.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	f := fakeOn(t, tls.NewListener(l, &tls.Config{Certificates: srv.TLS.Certificates}), packets.Accepted)
	at := "mqtts://" + l.Addr().String()
	pin := sha256.Sum256(srv.Certificate().Raw)

	_, stop, _ := run(t, mqtt.Options{Brokers: []string{fmt.Sprintf("%s#sha256=%x", at, pin)}})
	next(t, "connection to the pinned broker", f.clients)
	stop()

	for name, url := range map[string]string{
		"another certificate": fmt.Sprintf("%s#sha256=%x", at, sha256.Sum256(nil)),
		"no authority":        at,
	} {
		var log record
		_, stop, _ = run(t, mqtt.Options{Brokers: []string{url}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		end := time.Now().Add(time.Minute)
		for !log.contains("certificate") {
			if time.Now().After(end) {
				t.Fatalf("%s: no refusal in the log", name)
			}
			time.Sleep(time.Millisecond)
		}
		stop()
		if len(f.clients) > 0 {
			t.Errorf("%s: connected", name)
		}
	}
}
