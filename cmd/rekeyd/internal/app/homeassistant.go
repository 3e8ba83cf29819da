package app

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/broker"
	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/daemon/homeassistant"
)

// MQTT is where and how a hub publishes its house.
type MQTT struct {
	URL    string         // of the owner's broker, with user and password; empty for the embedded one
	Roots  *x509.CertPool // authorities of its certificate; nil for the system's
	Base   string         // topic below which the house is published
	Prefix string         // of Home Assistant's discovery; empty for none
}

// Check returns an error for topics that cannot be used.
func (m MQTT) Check() error { return homeassistant.Topics{Base: m.Base, Prefix: m.Prefix}.Check() }

// MQTTUsers returns the users of the embedded broker who may read the house.
func MQTTUsers(state string, h broker.Hasher) *broker.UserFile {
	return broker.NewUserFile(filepath.Join(state, "mqtt-users"), h)
}

// house returns the part of the embedded broker that serves the house, with a password that this process alone knows.
func (m MQTT) house(state string, h broker.Hasher) *broker.House {
	t := homeassistant.Topics{Base: m.Base, Prefix: m.Prefix}
	return &broker.House{
		Password: home.NewSecret(rand.Text()), Roots: t.Roots(), MayOrder: t.MayOrder, Users: MQTTUsers(state, h),
	}
}

// houseBroker is the connection over which a hub publishes its house.
type houseBroker struct{ *mqtt.Conn }

// Publish is homeassistant.Broker.
func (b houseBroker) Publish(topic string, payload []byte, retained bool) error {
	return b.Conn.Publish(mqtt.Message{Topic: topic, Payload: payload, Retained: retained})
}

// openHouse makes the publisher of the house and its connection, where the owner wants one.
func (h *Hub) openHouse() (err error) {
	m := h.o.MQTT
	if m == nil {
		return nil
	}
	t := homeassistant.Topics{Base: m.Base, Prefix: m.Prefix, Hub: home.HubID(h.identity.Name)}
	o := homeassistant.Options{
		Topics: t, Version: h.o.Version, House: h.face.Status, Rekey: h.engine.TryNow, Log: h.o.Log.With("part", "mqtt"),
	}
	if _, lan := h.page.onLAN(); lan {
		o.PageURL = h.PageURL()
	}
	if h.publisher, err = homeassistant.New(o); err != nil {
		return err
	}
	c := mqtt.Options{
		Brokers: []string{m.URL}, Roots: m.Roots, ClientID: "house-" + h.identity.Name, Filters: t.Filters(), Log: o.Log,
		Receive: func(a mqtt.Message) { h.publisher.Receive(a.Topic, a.Payload, a.Retained) },
		Will: func() *mqtt.Message {
			return &mqtt.Message{Topic: t.Availability(), Payload: []byte(homeassistant.Offline), Retained: true}
		},
		Up: func(up bool) {
			if up {
				h.publisher.Renew()
			}
		},
	}
	if m.URL == "" {
		if h.o.Service == nil || h.o.Service.House() == nil {
			return &home.Error{
				Op: "publish the house", Err: errors.New("this daemon runs no broker of its own"),
				Hint: "name yours with --mqtt mqtt://USER@HOST:1883",
			}
		}
		c.Brokers, c.Username, c.Password = h.o.Service.Brokers(), broker.Publisher, h.o.Service.House().Password
	}
	h.houseConn, err = mqtt.New(c)
	return err
}

// A broker that refused the user is left alone for longer each time: many lock an address that tries again and again.
const (
	refusedPause   = time.Minute
	refusedLongest = time.Hour
)

// runHouse publishes the house until ctx ends.
func (h *Hub) runHouse(ctx context.Context) error {
	if h.o.Service != nil {
		h.o.Service.WaitListening(ctx) // else the first dial fails, and a pause follows
	}
	for pause := refusedPause; ; pause = min(2*pause, refusedLongest) {
		err := h.publishHouse(ctx)
		if ctx.Err() != nil || !errors.Is(err, home.ErrCredential) {
			return err
		}
		h.o.Log.Error("house not published: the broker refused the user", "err", err, "pause", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// publishHouse publishes the house until ctx ends, or the broker refuses the user: home.ErrCredential.
func (h *Hub) publishHouse(ctx context.Context) error {
	// The connection outlives the publisher, whose last message is that the hub is offline.
	dialling, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	publishing, stop := context.WithCancel(ctx)
	var err error
	var running sync.WaitGroup
	running.Go(func() {
		defer stop()
		err = h.houseConn.Run(dialling)
	})
	h.publisher.Run(publishing, houseBroker{h.houseConn})
	hangUp()
	running.Wait()
	return err
}

// houseTroubles returns why the house is not published.
func (h *Hub) houseTroubles() []home.Trouble {
	if h.houseConn == nil {
		return nil
	}
	err := h.houseConn.Err()
	if err == nil {
		return nil
	}
	hint := "check --mqtt: the broker's address, its port, and whether it runs"
	if errors.Is(err, home.ErrCredential) {
		hint = "check the user in --mqtt, and the password in the file that --mqtt-password-file names"
	}
	return []home.Trouble{{What: "the house is not published over MQTT: " + err.Error(), Hint: hint}}
}
