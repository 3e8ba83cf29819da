package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/rekeyd/rekeyd/cloudlink/broker"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// looseWindow is how many messages are on their way at once where each is about one device: the embedded broker holds a thousand
// for one client, and drops what is beyond.
const looseWindow = 128

// baselines has paho move messages alone over the broker at url, or over an embedded one of its own: rekeyd's, and one a device and step.
func baselines(ctx context.Context, o options, url string, moved traffic) (same, loose time.Duration, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	pair, err := newPair()
	if err != nil {
		return 0, 0, err
	}
	if url == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, 0, err
		}
		b, err := broker.New(broker.Options{
			Directory: everybody{}, Service: pair.service.Name, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return 0, 0, err
		}
		ended := make(chan error, 1)
		go func() { ended <- b.Serve(ctx, l) }()
		defer func() { stop(); <-ended }()
		url = "mqtt://" + l.Addr().String()
	}
	if err := pair.connect(ctx, url); err != nil {
		return 0, 0, err
	}
	defer pair.disconnect()
	if same, err = pair.best(ctx, o, moved, linkWindow); err != nil {
		return 0, 0, err
	}
	loose, err = pair.best(ctx, o, oneByOne(o.devices), looseWindow)
	return same, loose, err
}

// everybody has one account, as far as the broker's rules ask.
type everybody struct{}

func (everybody) AccountOf(string) (string, bool) { return "a", true }
func (everybody) Holds(_, _ string) bool          { return false }

// pair is a hub and a service that only carry.
type pair struct {
	hub, service       *wire.Identity
	hubEnd, serviceEnd paho.Client
	heard              chan struct{} // has a token for each message that arrived
}

func newPair() (p *pair, err error) {
	p = &pair{heard: make(chan struct{}, 2*looseWindow)}
	if p.hub, err = wire.NewIdentity(wire.RoleHub, wire.NewSeed(), wire.NewSeed()); err != nil {
		return nil, err
	}
	p.service, err = wire.NewIdentity(wire.RoleService, wire.NewSeed(), wire.NewSeed())
	return p, err
}

// connect connects both, with the options that rekeyd uses.
func (p *pair) connect(ctx context.Context, url string) (err error) {
	if p.hubEnd, err = p.client(ctx, url, p.hub, wire.InboxTopic(p.hub.Name)); err != nil {
		return err
	}
	p.serviceEnd, err = p.client(ctx, url, p.service, wire.OutboxTopic(p.hub.Name))
	return err
}

func (p *pair) disconnect() {
	p.hubEnd.Disconnect(100)
	p.serviceEnd.Disconnect(100)
}

func (p *pair) client(ctx context.Context, url string, id *wire.Identity, filter string) (paho.Client, error) {
	o := paho.NewClientOptions().AddBroker(url).SetClientID(id.Name).SetUsername(id.Name).SetPassword(id.Login().Reveal())
	o.SetProtocolVersion(4).SetCleanSession(true).SetAutoReconnect(false).SetStore(paho.NewMemoryStore()).SetOrderMatters(true)
	o.SetConnectTimeout(10 * time.Second).SetWriteTimeout(10 * time.Second)
	c := paho.NewClient(o)
	if err := finished(ctx, c.Connect()); err != nil {
		return nil, err
	}
	return c, finished(ctx, c.Subscribe(filter, 1, func(paho.Client, paho.Message) {
		p.heard <- struct{}{}
	}))
}

// best moves messages several times and returns the median of the times.
func (p *pair) best(ctx context.Context, o options, t traffic, window int) (time.Duration, error) {
	var ds []time.Duration
	for range runs {
		d, err := p.move(ctx, t, window)
		if err != nil {
			return 0, fmt.Errorf("paho alone: %w", err)
		}
		ds = append(ds, d)
	}
	fmt.Fprintf(o.say, "  paho %v\n", ds)
	return middle(ds), nil
}

// move sends messages both ways, window at once in each, until all have arrived and were acknowledged to their senders. Where more are on
// their way than window in both ways together, nothing is sent: a broker drops what it has no room for.
func (p *pair) move(ctx context.Context, t traffic, window int) (time.Duration, error) {
	ctx, stop := context.WithTimeout(ctx, 60*time.Second)
	defer stop()
	began := time.Now()
	var parts sync.WaitGroup
	errs := make(chan error, 2*window)
	room := make(chan struct{}, 2*window)
	for _, way := range []struct {
		from  paho.Client
		topic string
		sizes []int
	}{{p.hubEnd, wire.OutboxTopic(p.hub.Name), t.up}, {p.serviceEnd, wire.InboxTopic(p.hub.Name), t.down}} {
		payload := make([]byte, wire.MaxMessage)
		var next atomic.Int64
		for range window {
			parts.Go(func() {
				for i := next.Add(1) - 1; i < int64(len(way.sizes)); i = next.Add(1) - 1 {
					select {
					case room <- struct{}{}:
					case <-ctx.Done():
					}
					if err := finished(ctx, way.from.Publish(way.topic, 1, false, payload[:way.sizes[i]])); err != nil {
						errs <- err
						return
					}
				}
			})
		}
	}
	for arrived := range t.count() {
		select {
		case <-p.heard:
			<-room
		case <-ctx.Done():
			parts.Wait()
			return 0, fmt.Errorf("%d of %d messages arrived: %w", arrived, t.count(), home.ErrUnavailable)
		}
	}
	parts.Wait()
	close(errs)
	return time.Since(began), <-errs
}

func finished(ctx context.Context, t paho.Token) error {
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// oneByOne is what would go over the broker if each message were about one device: rekeyd's own messages, with one device in each.
func oneByOne(devices int) traffic {
	const id = "mac-50c7bf000000"
	account, key := "k3v9d2m7q4xw8z1b", make([]byte, 32)
	hub, err := wire.NewIdentity(wire.RoleHub, key, key)
	if err != nil {
		panic(err) // the key has its size
	}
	notice := hub.SignNotice(wire.Notice{Account: account, Epoch: 2, At: 1767225600000, Cause: "reset", Via: "web", Prev: key})
	size := func(b wire.Body) int {
		raw, err := hub.Sign(&wire.Message{Re: wire.NewID(), To: hub.Name, Seq: 1<<32 + 1, At: 1767225600000, Body: b})
		if err != nil {
			panic(err) // it is well-formed
		}
		return len(raw)
	}
	up := []int{
		size(&wire.Begin{Account: account, Epoch: 2, Devices: []wire.Nonce{{ID: id, Nonce: key}}}),
		size(&wire.Proof{Account: account, Epoch: 2, Devices: []wire.Proven{{ID: id, Proof: key}}}),
		size(&wire.Confirm{Account: account, Epoch: 2, Devices: []string{id}}),
	}
	down := []int{
		size(&wire.Challenge{Account: account, Epoch: 2, Devices: []wire.Challenged{{ID: id, Nonce: key, Proof: key}}}),
		size(&wire.Session{Account: account, Epoch: 2, Devices: []string{id}}),
		size(&wire.Receipt{Account: account, Epoch: 2, Notice: notice}),
	}
	var t traffic
	for range devices {
		t.up, t.down = append(t.up, up...), append(t.down, down...)
	}
	return t
}
