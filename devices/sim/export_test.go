package sim

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/miekg/dns"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Unplugged returns devices of s that are on, and have no sockets.
func Unplugged(s ...Spec) []*Device {
	s, free, err := settle(defaultBase, s)
	if err != nil {
		panic(err)
	}
	var all []*Device
	for _, one := range s {
		if !one.Addr.IsValid() {
			one.Addr, _ = free.take()
		}
		d, err := newDevice(Options{Log: slog.New(slog.DiscardHandler)}, one)
		if err != nil {
			panic(err)
		}
		d.on = &outlet{}
		all = append(all, d)
	}
	return all
}

// Answer returns what an iot device answers, whether raw only asks, and whether it is a request at all.
func Answer(d *Device, raw []byte) (answer []byte, asks, ok bool) {
	r, err := parseRequest(raw)
	if err != nil {
		return nil, false, false
	}
	return d.body.(interface {
		answer(context.Context, request) []byte
	}).answer(context.Background(), r), r.asks(), true
}

// SmartAnswer returns what a SMART device answers to one request of a session.
func SmartAnswer(d *Device, raw string) string {
	return string(d.body.(*smart).answer(context.Background(), []byte(raw)))
}

// KLAP returns the web server of a device that speaks KLAP.
func KLAP(d *Device) http.Handler {
	if s, ok := d.body.(*smart); ok {
		return s.door
	}
	return d.body.(*iotKLAP).door
}

// Answers returns the messages that answer an mDNS question.
func Answers(all []*Device, q *dns.Msg) []*dns.Msg { return (&announcer{devices: all}).answers(q) }

// CamSigned returns what a simulated camera computes of a sign-in: what it proves with, what it wants as a proof, and
// the tag of a request.
func CamSigned(
	password home.Secret, md5 bool, cnonce, nonce, body, seq string,
) (confirm, digest, tag string, lsk, ivb []byte) {
	d := &tapocam{}
	if md5 {
		d.spec.Defects = []Defect{MD5}
	}
	h := d.hash(password)
	s := &camSession{hash: h, cnonce: cnonce, nonce: nonce}
	lsk, ivb = s.keys()
	return upperSHA(cnonce, h, nonce), upperSHA(h, cnonce, nonce), upperSHA(upperSHA(h, cnonce), body, seq), lsk, ivb
}
