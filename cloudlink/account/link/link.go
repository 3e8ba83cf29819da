// Package link is the MQTT end of the account service: it speaks the link protocol (cloudlink/PROTOCOL.md) to hubs and
// native devices, over any MQTT broker.
package link

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// Store is what the link needs of the account service's store.
type Store interface {
	account.Members
	account.Devices
	Account(id string) (account.Account, error)
	NoteAhead(n wire.Notice) error
}

// Options are what New checks.
type Options struct {
	Store   Store
	Service *account.Service
	Brokers []string       // MQTT URLs for the service's own connection, tried in turn
	Roots   *x509.CertPool // authorities of brokers' certificates; nil for the system's
	Log     *slog.Logger
	Dial    func(addr string) (net.Conn, error) // to a broker; TCP or TLS when nil
}

// Link is the service's connection to its members.
type Link struct {
	o      Options
	s      *account.Service
	st     Store
	id     *wire.Identity
	conn   *mqtt.Conn
	queues *queues
	relays relays
	drops  *account.Drops
}

// New checks o, all of it. It connects to nothing: Run does.
func New(o Options) (*Link, error) {
	if o.Store == nil || o.Service == nil || o.Log == nil {
		return nil, errors.New("account link: store, service and log are needed")
	}
	l := &Link{o: o, s: o.Service, st: o.Store, id: o.Service.Identity(), drops: account.NewDrops(o.Log)}
	l.queues = newQueues(l.take)
	var err error
	l.conn, err = mqtt.New(mqtt.Options{
		Brokers: o.Brokers, ClientID: l.id.Name, Username: l.id.Name, Password: l.id.Login(),
		Filters: append(wire.Outboxes(), wire.States("+"), wire.Statuses()), Receive: l.receive, Birth: l.notices, Log: o.Log,
		Dial:  o.Dial,
		Roots: o.Roots,
	})
	return l, err
}

// How long a broker that refused the service's credential is left alone: doubled each time.
const (
	refusedPause   = time.Minute
	longestRefused = time.Hour
)

// Run serves members over MQTT until ctx ends.
func (l *Link) Run(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer stop()
	l.queues.start(ctx, &parts)
	parts.Go(func() { l.announceLoop(ctx) })
	for pause := refusedPause; ; pause = min(2*pause, longestRefused) {
		err := l.conn.Run(ctx)
		if ctx.Err() != nil {
			return
		}
		// People can still sign in and reset; messages to hubs wait. A broker that was set up wrongly will be repaired some
		// day.
		l.o.Log.Error("broker refused the account service", "err", err, "pause", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// receive hands a message of the broker over, by its topic.
func (l *Link) receive(m mqtt.Message) {
	switch topic, _ := wire.ParseTopic(m.Topic); topic.Leaf {
	case "state":
		l.receiveState(m)
	case "status":
		l.receiveStatus(topic.Name, m.Payload)
	default:
		member, ok := outbox(m.Topic)
		switch {
		case !ok:
			l.dropped("unexpected", "", nil)
		case !l.queues.add(m, member):
			l.dropped("overflow", member, nil)
		default:
			l.conn.Worked() // members reach this end
		}
	}
}

// receiveState stores the report about a device, where its account has one of that ID.
func (l *Link) receiveState(m mqtt.Message) {
	topic, ok := wire.ParseTopic(m.Topic)
	var r account.Report
	if !ok || len(m.Payload) > 0 && json.Unmarshal(m.Payload, &r) != nil || len(r.Verdict) > 32 || len(r.Name) > 128 {
		l.dropped("malformed", topic.Name, nil)
		return
	}
	if _, err := l.st.Device(topic.Account, topic.Name); err != nil {
		r = account.Report{} // unbound: forget it
	}
	l.s.Reports.SetDevice(topic.Account, topic.Name, r)
	l.s.Changes.Add(topic.Account)
}

// receiveStatus stores the presence of a hub, where there is one of that name.
func (l *Link) receiveStatus(hub string, raw []byte) {
	var p account.Presence
	if len(raw) > 0 && json.Unmarshal(raw, &p) != nil {
		l.dropped("malformed", hub, nil)
		return
	}
	if _, err := l.st.Member(hub); err != nil {
		l.s.Reports.ForgetHub(hub)
		return
	}
	l.s.Reports.SetHub(hub, p)
}

// announceLoop announces the epochs that begin.
func (l *Link) announceLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.s.Epochs.Wake():
		}
		for _, id := range l.s.Epochs.Take() {
			if err := l.announce(ctx, id); err != nil && ctx.Err() == nil {
				// Members send a hello at their connect, and the notice is published again at the next connect.
				l.o.Log.Warn("epoch not announced", "account", id, "err", err)
			}
		}
	}
}

// announce sends each member its newest grant, and then the notice, retained: a member that receives the notice without
// a grant sends a hello.
func (l *Link) announce(ctx context.Context, id string) error {
	a, err := l.st.Account(id)
	if err != nil {
		return err
	}
	ms, err := l.st.Members(id)
	if err != nil {
		return err
	}
	for _, m := range ms {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		gs, err := l.st.Grants(m.Name, a.Epoch-1)
		if err != nil {
			return err
		}
		for _, g := range gs {
			if err := l.send(m.Name, "", &wire.Grant{Notice: g.Notice, Sealed: g.Sealed}); err != nil {
				return err
			}
		}
	}
	return l.conn.Publish(notice(a.Notice))
}

// notices returns the notice of every account that has members.
func (l *Link) notices() (ms []mqtt.Message) {
	const page = 1000
	for last := ""; ; {
		ns, err := l.st.Notices(last, page)
		if err != nil {
			l.o.Log.Error("notices not read", "err", err)
		}
		for _, n := range ns {
			ms = append(ms, notice(n))
			last = n.Account
		}
		if len(ns) < page {
			return ms
		}
	}
}

// notice returns a notice as it stands in its account's topic.
func notice(n wire.Notice) mqtt.Message {
	return mqtt.Message{Topic: wire.NoticeTopic(n.Account), Payload: n.JWS(), Retained: true}
}

// grantLife is how long a grant may be on its way. After that a member has sent a hello anyway.
const grantLife = 24 * time.Hour

// send signs and sends a message to a member.
func (l *Link) send(to, re string, b wire.Body) error {
	now := l.s.Now()
	m := &wire.Message{Re: re, To: to, At: now.UnixMilli(), Body: b}
	if _, ok := b.(*wire.Grant); ok {
		m.Exp = now.Add(grantLife).UnixMilli()
	}
	raw, err := l.id.Sign(m)
	if err != nil {
		return err
	}
	return l.conn.Publish(mqtt.Message{Topic: wire.InboxTopic(to), Payload: raw})
}

// dropped logs a message that is not acted on.
func (l *Link) dropped(reason, member string, err error) {
	l.drops.Add("message dropped", reason, "member", member, "err", err)
}
