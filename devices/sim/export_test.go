package sim

import (
	"context"
	"log/slog"

	"github.com/miekg/dns"
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
	return d.body.(*iot).answer(context.Background(), r), r.asks(), true
}

// Told returns what is answered to an mDNS message.
func Told(all []*Device, q *dns.Msg) []*dns.Msg { return (&crier{devices: all}).answers(q) }
