// Package homeassistant publishes the house over MQTT, for Home Assistant and for every other listener: a retained
// state of each bound device and of the hub, and the discovery messages from which Home Assistant makes its devices. It
// takes two orders, to rekey one device or all, which clear no lock and give no consent.
//
// The package knows no MQTT client: Broker is the connection, and its owner passes arrivals to Receive.
package homeassistant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Broker is a connection to an MQTT broker. Publish returns home.ErrUnavailable while there is none.
type Broker interface {
	Publish(topic string, payload []byte, retained bool) error
}

// Options are the options of New.
type Options struct {
	Topics  Topics
	Version string
	PageURL string                          // of the house, where other machines reach it; may be empty
	House   func() (daemon.Status, error)   // is read for each round of messages
	Rekey   func(ids []home.DeviceID) error // the weakest order; without ids for all devices
	Log     *slog.Logger
}

// Publisher keeps the retained messages at a broker equal to the house.
type Publisher struct {
	o       Options
	changed chan struct{} // has room for one: more changes need no second signal
	left    chan struct{} // has room for one: the broker has the last message of leave

	mu      sync.Mutex // guards the fields below; never held over I/O
	renew   bool       // publish all, whatever was published before
	found   []string   // retained topics of this hub that the broker had
	ending  bool
	ordered map[home.DeviceID]time.Time // when the last order for each device was taken; "" for all

	sent map[string]string // payload by topic, "" for one that is not known; used by Run only
}

const (
	roundPause = 250 * time.Millisecond // between two rounds: changes of a moment go together
	renewPause = 5 * time.Second        // between two rounds of all messages: anybody may send a birth message
	lookEvery  = 15 * time.Second       // the link and the troubles of the hub send no event
	orderPause = 3 * time.Second        // between two orders for the same device
	leaveTime  = 2 * time.Second        // for the last message
)

// New checks o. It starts nothing.
func New(o Options) (*Publisher, error) {
	err := o.Topics.Check()
	if o.Topics.Hub == "" || o.House == nil || o.Rekey == nil || o.Log == nil {
		err = errors.Join(err, errors.New("hub, house, rekey and log are needed"))
	}
	if err != nil {
		return nil, fmt.Errorf("home assistant: %w", err)
	}
	return &Publisher{
		o: o, changed: make(chan struct{}, 1), left: make(chan struct{}, 1), ordered: map[home.DeviceID]time.Time{},
		sent: map[string]string{},
	}, nil
}

// Changed schedules a round: a device or the hub may have changed. It never blocks.
func (p *Publisher) Changed() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// Renew schedules a round of all messages: the connection is new, or Home Assistant has started. It never blocks.
func (p *Publisher) Renew() {
	p.mu.Lock()
	p.renew = true
	p.mu.Unlock()
	p.Changed()
}

// Run publishes to b until ctx ends, and then that the hub is offline. It may be called again.
func (p *Publisher) Run(ctx context.Context, b Broker) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var renewed time.Time
	for {
		select {
		case <-ctx.Done():
			p.leave(b)
			return
		case <-p.changed:
		case <-look.C:
		}
		p.mu.Lock()
		early := renewPause - time.Since(renewed)
		renew := p.renew && early <= 0
		if p.renew && !renew {
			time.AfterFunc(early, p.Changed)
		}
		p.renew = p.renew && !renew
		p.mu.Unlock()
		if renew {
			renewed = time.Now()
			for topic := range p.sent {
				p.sent[topic] = ""
			}
		}
		if err := p.round(b); err != nil && !errors.Is(err, home.ErrUnavailable) { // the next connection begins with all
			p.o.Log.Error("house not published", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(roundPause):
		}
	}
}

// message is a retained publication.
type message struct{ topic, payload string }

// messages returns the house as it is now: discovery before state, the hub before its devices.
func (p *Publisher) messages(s daemon.Status) []message {
	t := p.o.Topics
	var ms []message
	add := func(topic string, v any) { ms = append(ms, message{topic, string(encode(v))}) }
	if t.Prefix != "" {
		add(t.config(string(t.Hub)), p.hubConfig())
	}
	add(t.hubState(), stateOfHub(s, p.o.Version))
	for _, r := range s.Devices {
		if !r.Bound || !validID(string(r.ID)) {
			continue
		}
		if t.Prefix != "" {
			add(t.config(string(r.ID)), p.deviceConfig(r))
		}
		add(t.deviceState(r.ID), stateOf(r))
	}
	return append(ms, message{t.Availability(), Online})
}

// round publishes the differences from the last round, and clears the topics of devices that are gone.
func (p *Publisher) round(b Broker) error {
	s, err := p.o.House()
	if err != nil {
		return err
	}
	p.mu.Lock()
	found := p.found
	p.found = nil
	p.mu.Unlock()
	for _, topic := range found {
		if _, known := p.sent[topic]; !known {
			p.sent[topic] = ""
		}
	}
	wanted := map[string]bool{}
	for _, m := range p.messages(s) {
		wanted[m.topic] = true
		if p.sent[m.topic] == m.payload {
			continue
		}
		if err := b.Publish(m.topic, []byte(m.payload), true); err != nil {
			return err
		}
		p.sent[m.topic] = m.payload
	}
	for topic := range p.sent {
		if wanted[topic] {
			continue
		}
		if err := b.Publish(topic, nil, true); err != nil {
			return err
		}
		delete(p.sent, topic)
	}
	return nil
}

// Receive takes a message that came from the broker.
func (p *Publisher) Receive(topic string, payload []byte, retained bool) {
	t := p.o.Topics
	id, all, order := t.order(topic)
	switch {
	case order:
		if !retained && string(payload) == press { // a retained order would be carried out at every connect
			p.take(id, all)
		}
	case topic == t.Availability():
		p.echo(string(payload))
	case t.Prefix != "" && topic == t.birth():
		if string(payload) == Online {
			p.Renew()
		}
	case retained && len(payload) > 0:
		if id, leaf := t.device(topic); leaf == "state" { // perhaps of a device that was unbound meanwhile
			p.mu.Lock()
			p.found = append(p.found, topic)
			if t.Prefix != "" {
				p.found = append(p.found, t.config(string(id)))
			}
			p.mu.Unlock()
			p.Changed()
		}
	}
}

// take carries out an order, one in orderPause for each device.
func (p *Publisher) take(id home.DeviceID, all bool) {
	now := time.Now()
	p.mu.Lock()
	early := now.Sub(p.ordered[id]) < orderPause
	p.mu.Unlock()
	if early {
		p.o.Log.Debug("order dropped: one for this device came just before", "device", id)
		return
	}
	ids := []home.DeviceID{id}
	if all {
		ids = nil
	}
	if err := p.o.Rekey(ids); err != nil {
		p.o.Log.Warn("order refused", "device", id, "err", err)
		return
	}
	p.o.Log.Info("rekey ordered over MQTT", "device", id)
	p.mu.Lock()
	p.ordered[id] = now // only of devices that are bound: their number is the bound of this map
	p.mu.Unlock()
}

// echo handles the hub's own availability as the broker delivers it. The will of a lost connection can come after the
// birth of the next one.
func (p *Publisher) echo(payload string) {
	p.mu.Lock()
	ending := p.ending
	if payload == Offline && !ending {
		p.renew = true
	}
	p.mu.Unlock()
	switch {
	case payload != Offline:
	case ending:
		select {
		case p.left <- struct{}{}:
		default:
		}
	default:
		p.Changed()
	}
}

// leave publishes that the hub is offline, and waits until the broker has it.
func (p *Publisher) leave(b Broker) {
	p.mu.Lock()
	p.ending = true
	p.mu.Unlock()
	select {
	case <-p.left: // of a run before
	default:
	}
	defer func() {
		p.mu.Lock()
		p.ending = false
		p.mu.Unlock()
	}()
	if b.Publish(p.o.Topics.Availability(), []byte(Offline), true) != nil {
		return // no connection: the broker has the will
	}
	select {
	case <-p.left:
	case <-time.After(leaveTime):
	}
}
