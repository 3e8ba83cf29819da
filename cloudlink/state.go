package cloudlink

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// DeviceState is the retained message of a device's state topic. It holds no secret and no e-mail address.
type DeviceState struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Kind    string    `json:"kind"`
	Verdict string    `json:"verdict"`
	Epoch   uint64    `json:"epoch,string"`
	Since   time.Time `json:"since"`
}

// message returns the state as it is published. A state without a verdict, of a device that was unbound, is an empty
// message: it clears the topic.
func (s DeviceState) message(account home.AccountID) mqtt.Message {
	m := mqtt.Message{Topic: wire.StateTopic(string(account), s.ID), Retained: true}
	if s.Verdict != "" {
		m.Payload, _ = json.Marshal(s) // cannot fail
	}
	return m
}

// presence is the retained message of a hub's status topic. A late will may overtake a birth: the higher boot wins.
type presence struct {
	Online  bool   `json:"online"`
	Version string `json:"version"`
	Boot    uint64 `json:"boot,string"`
}

func (l *Link) status(online bool) *mqtt.Message {
	if !l.o.Secret.IsZero() {
		return nil // a native device has no status: its hub publishes its state
	}
	raw, _ := json.Marshal(presence{online, l.o.Version, l.o.Boot}) // cannot fail
	return &mqtt.Message{Topic: wire.StatusTopic(l.o.Identity.Name), Payload: raw, Retained: true}
}

// lateWill is how long after a connect the will of the connection before can still come: a broker waits one and a half
// keepalives of a minute for a member that is silent.
const lateWill = 2 * time.Minute

// correctStatus publishes this hub's status again: the will of a connection before can come after the birth of this
// one. It is due lateWill after a connect, and with each later hello.
func (l *Link) correctStatus(now time.Time) {
	l.mu.Lock()
	conn, due := l.conn, l.online && !now.Before(l.statusDue)
	if due {
		l.statusDue = now.Add(l.o.AskEvery)
	}
	l.mu.Unlock()
	if m := l.status(true); due && m != nil {
		_ = conn.Publish(*m) // without a connection the next one begins with it
	}
}

func (l *Link) will() *mqtt.Message { return l.status(false) }

func (l *Link) birth() []mqtt.Message {
	var ms []mqtt.Message
	if s := l.status(true); s != nil {
		ms = append(ms, *s)
	}
	a, err := l.o.Store.Account()
	if l.o.States != nil && err == nil {
		for _, s := range l.o.States() {
			ms = append(ms, s.message(a.ID))
		}
	}
	return ms
}

// Publish publishes a device's state, retained. Without a connection it returns home.ErrUnavailable: every state is
// published again after the next connect.
func (l *Link) Publish(s DeviceState) error {
	l.mu.Lock()
	conn := l.conn
	l.mu.Unlock()
	if conn == nil {
		return fmt.Errorf("publish state: %w", home.ErrUnavailable)
	}
	a, err := l.o.Store.Account()
	if err != nil {
		return fmt.Errorf("publish state: %w", err)
	}
	return conn.Publish(s.message(a.ID))
}
