package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/iot"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/klap"
	"github.com/rekeyd/rekeyd/devices/post"
)

// findTime is how long the hashes of one KLAP probe take, and how many requests such a probe is. The device holds none of the candidates, so
// that all are tried by both formulas.
func findTime(ctx context.Context) (hashing time.Duration, requests int32, err error) {
	var asked atomic.Int32
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write(make([]byte, 48)) // its seed, and the proof of a credential that nobody knows
	})}
	go func() { _ = s.Serve(l) }()
	defer func() { _ = s.Close() }()
	at := netip.MustParseAddrPort(l.Addr().String())
	c := vaultOf(candidates - 3) // the factory's two and none are the others
	d, err := iot.NewKLAP(iot.Options{})
	if err != nil {
		return 0, 0, err
	}
	f, err := d.Probe(ctx, home.Device{ID: "mac-50c7bf000001", Protocol: home.IOTKLAP2, Addr: at}, c)
	if err == nil && f.Verdict.State != home.Mismatch {
		err = errors.New("a device that holds nothing known was found to hold something")
	}
	if err != nil {
		return 0, 0, err
	}
	requests = asked.Load()
	conn := klap.New(at, post.Options{})
	defer conn.Close()
	p, err := conn.Handshake(ctx)
	if err != nil {
		return 0, 0, err
	}
	keys := keyring.Candidates(c)
	if len(keys) != candidates {
		return 0, 0, errors.New("the candidates are not as many as is said")
	}
	const n = 20_000
	began := time.Now()
	for range n {
		p.Match(keys)
	}
	return time.Since(began) / n, requests, nil
}
