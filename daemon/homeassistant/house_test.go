package homeassistant_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/daemon/homeassistant"
)

// broker keeps retained messages, as a broker does, and delivers the publications of the hub to the hub.
type broker struct {
	mu       sync.Mutex // guards the fields below
	retained map[string]string
	sent     int
	down     bool
	deliver  func(topic string, payload []byte, retained bool)
}

func (b *broker) Publish(topic string, payload []byte, retained bool) error {
	b.mu.Lock()
	if b.down {
		b.mu.Unlock()
		return home.ErrUnavailable
	}
	b.sent++
	if b.retained[topic] = string(payload); len(payload) == 0 {
		delete(b.retained, topic)
	}
	deliver := b.deliver
	b.mu.Unlock()
	if !retained {
		return errors.New("everything is retained")
	}
	go deliver(topic, payload, false)
	return nil
}

func (b *broker) now() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.retained)
}

func (b *broker) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent
}

func (b *broker) lose() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.retained = map[string]string{}
}

func (b *broker) set(topic, payload string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.retained[topic] = payload
}

// house is a publisher with the house that it publishes.
type house struct {
	t      *testing.T
	mu     sync.Mutex // guards status and orders
	status daemon.Status
	orders []string
	broker *broker
	p      *homeassistant.Publisher
}

const hub = "hub-abc"

func rowOf(id, name string, v home.State) daemon.Row {
	return daemon.Row{
		ID: home.DeviceID(id), Name: name, Kind: home.Plug, Protocol: home.KLAP2, Bound: true, Verdict: v, Epoch: 2,
		MAC: strings.TrimPrefix(id, "mac-"), Model: "P110", Rekeyed: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, broker: &broker{retained: map[string]string{}}}
	h.status = daemon.Status{
		Account: "anna@example.org", Epoch: 2, Link: "up",
		Devices: []daemon.Row{rowOf("mac-50c7bf010203", "lamp", home.Current), rowOf("mac-50c7bf010204", "hall", home.Stale)},
	}
	var err error
	h.p, err = homeassistant.New(homeassistant.Options{
		Topics:  homeassistant.Topics{Base: homeassistant.DefaultBase, Prefix: homeassistant.DefaultPrefix, Hub: hub},
		Version: "1.2.3", Log: slog.New(slog.DiscardHandler),
		House: func() (daemon.Status, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			s := h.status
			s.Devices = slices.Clone(s.Devices)
			return s, nil
		},
		Rekey: func(ids []home.DeviceID) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if len(ids) == 0 {
				ids = []home.DeviceID{"all"}
			}
			if ids[0] == "mac-000000000000" {
				return home.ErrNotFound
			}
			h.orders = append(h.orders, string(ids[0]))
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.broker.deliver = h.p.Receive
	return h
}

func (h *house) change(do func(*daemon.Status)) {
	h.mu.Lock()
	do(&h.status)
	h.mu.Unlock()
	h.p.Changed()
	time.Sleep(10 * time.Second)
}

// run runs the publisher, with a connection that has just come up.
func (h *house) run(do func()) {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { h.p.Run(ctx, h.broker) })
	h.p.Renew()
	time.Sleep(10 * time.Second)
	do()
	stop()
	running.Wait()
}

const (
	lampState  = "rekeyd/house/hub-abc/device/mac-50c7bf010203/state"
	lampConfig = "homeassistant/device/mac-50c7bf010203/config"
	lampRekey  = "rekeyd/house/hub-abc/device/mac-50c7bf010203/rekey"
	hubState   = "rekeyd/house/hub-abc/state"
	hubAvail   = "rekeyd/house/hub-abc/availability"
	hubConfig  = "homeassistant/device/hub-abc/config"
)
