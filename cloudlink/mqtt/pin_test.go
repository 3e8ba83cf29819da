package mqtt_test

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
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

func TestAFingerprintIsWellFormedOrRefused(t *testing.T) {
	good := strings.Repeat("ab", 32)
	for url, want := range map[string]bool{
		"mqtts://h#sha256=" + good:                     true,
		"wss://h#sha256=" + strings.ToUpper(good):      true,
		"mqtt://h#sha256=" + good:                      false,
		"mqtts://h#sha256=" + good[2:]:                 false,
		"mqtts://h#sha1=" + good:                       false,
		"mqtts://h#" + good:                            false,
		"mqtts://h#sha256=" + strings.Repeat("zz", 32): false,
	} {
		if _, err := mqtt.ParseBroker(url); (err == nil) != want {
			t.Errorf("%s: %v", url, err)
		}
	}
}
