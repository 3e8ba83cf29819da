package broker

import (
	"strings"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// rules is who may do what:
//
//	the service        everything
//	a hub              publishes to its own outbox and status, and to the states of the devices that it holds;
//	                   reads its own inbox, and of its account: the notice, states of devices, status of hubs
//	a native device    publishes to its own outbox; reads its own inbox and its account's notice
//
// Who belongs to no account (yet) has its outbox and inbox, to enrol; what it says of itself is carried but not kept. A
// publication against the rules is acknowledged and dropped, as MQTT-3.3.5-2 allows: to cut the connection would make
// of a state told too early (the service has not yet taken the binding) a hub that never stays connected.
type rules struct {
	mochi.HookBase
	b      *Broker
	server *mochi.Server
	pace   sync.Map // *mochi.Client -> *pace; of those who belong to nobody
}

// A stranger has one thing to say, its enrolment. One that says more is read slowly: what it sends must not crowd out
// members.
const (
	strangerPause = 100 * time.Millisecond // between its messages
	strangerBurst = 20                     // that need no pause
)

// pace is how fast one connection has spoken. Only its own reader uses it.
type pace struct{ paid time.Time }

// wait waits until the next message may be taken.
func (p *pace) wait() {
	now := time.Now()
	if first := now.Add(-strangerBurst * strangerPause); p.paid.Before(first) {
		p.paid = first
	}
	p.paid = p.paid.Add(strangerPause)
	time.Sleep(p.paid.Sub(now))
}

func (r *rules) ID() string { return "rules" }

func (r *rules) Provides(b byte) bool {
	switch b {
	case mochi.OnConnect,
		mochi.OnConnectAuthenticate,
		mochi.OnSubscribe,
		mochi.OnACLCheck,
		mochi.OnPublish,
		mochi.OnWill,
		mochi.OnDisconnect,
		mochi.OnClientExpired:
		return true
	}
	return false
}

// OnConnect refuses what is not MQTT 3.1.1, whose later version has ways round these rules (topic aliases, delayed
// wills), and gives every connection an end when nothing is heard.
func (r *rules) OnConnect(cl *mochi.Client, pk packets.Packet) error {
	if pk.ProtocolVersion != 4 {
		return packets.ErrUnsupportedProtocolVersion
	}
	const longest = 600 // seconds
	if cl.State.Keepalive == 0 || cl.State.Keepalive > longest {
		cl.State.Keepalive = longest
	}
	// mochi ends a clean session some time after its connection, by name: where the member is back by then, it
	// unsubscribes and forgets the new one. So a session ends when the member begins a clean one, or with its time.
	cl.Properties.Clean = false
	return nil
}

// OnConnectAuthenticate believes a member that shows its keys. The client id is its name, too: else one member could
// take over another's session.
func (r *rules) OnConnectAuthenticate(cl *mochi.Client, pk packets.Packet) bool {
	name := string(pk.Connect.Username)
	ok := cl.ID == name && wire.CheckLogin(name, string(pk.Connect.Password)) == nil && r.known(name) &&
		(!pk.Connect.WillFlag || r.mayPublish(name, pk.Connect.WillTopic) && len(pk.Connect.WillPayload) <= maxRetain)
	if !ok {
		r.b.counts.login.Add(1)
		r.b.o.Log.Debug("login refused", "addr", cl.Net.Remote)
	}
	return ok
}

// known tells whether the name is of a role that may connect.
func (r *rules) known(name string) bool {
	switch wire.Role(role(name)) {
	case wire.RoleHub, wire.RoleDevice:
		return true
	case wire.RoleService:
		return name == r.b.o.Service
	}
	return false
}

func role(name string) string {
	role, _, _ := strings.Cut(name, "-")
	return role
}

// OnSubscribe turns a subscription to a notice that the member may not read into one to its own inbox. To refuse it
// would keep a member that was removed, or is about to enrol, from ever hearing so: its connection stands or falls with
// its subscriptions.
func (r *rules) OnSubscribe(cl *mochi.Client, pk packets.Packet) packets.Packet {
	name := string(cl.Properties.Username)
	for i, f := range pk.Filters {
		if t, ok := wire.ParseTopic(f.Filter); ok && t.Leaf == "notice" && !r.mayRead(name, f.Filter) {
			r.b.counts.subscribe.Add(1)
			pk.Filters[i].Filter = wire.InboxTopic(name)
		}
	}
	return pk
}

// OnACLCheck is asked for each subscription, and again for each message before it is delivered. What is published is
// OnPublish's.
func (r *rules) OnACLCheck(cl *mochi.Client, topic string, write bool) bool {
	ok := write || r.mayRead(string(cl.Properties.Username), topic)
	if !ok {
		r.b.counts.subscribe.Add(1)
	}
	return ok
}

// OnPublish drops what is against the rules, and keeps nothing for those who belong to nobody.
func (r *rules) OnPublish(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	name := string(cl.Properties.Username)
	retain := pk.FixedHeader.Retain
	if !r.belongs(name) {
		p, _ := r.pace.LoadOrStore(cl, new(pace))
		p.(*pace).wait() // holds up the reader of this connection, and nobody else
	}
	if !r.mayPublish(name, pk.TopicName) || retain && (len(pk.Payload) > maxRetain || !mayRetain(pk.TopicName)) {
		r.b.counts.publish.Add(1)
		r.b.o.Log.Debug("publication dropped", "client", name)
		return pk, packets.CodeSuccessIgnore
	}
	if retain && !r.belongs(name) {
		pk.FixedHeader.Retain = false
	}
	return pk, nil
}

// OnDisconnect forgets how fast the connection spoke.
func (r *rules) OnDisconnect(cl *mochi.Client, _ error, _ bool) { r.pace.Delete(cl) }

// OnWill asks again: much may have changed since the will was left.
func (r *rules) OnWill(cl *mochi.Client, w mochi.Will) (mochi.Will, error) {
	name := string(cl.Properties.Username)
	if !r.belongs(name) || !mayRetain(w.TopicName) {
		w.Retain = false
	}
	if !r.mayPublish(name, w.TopicName) {
		w.TopicName, w.Payload, w.Retain = wire.OutboxTopic(name), nil, false // nothing, to nobody who would act on it
	}
	return w, nil
}

// OnClientExpired takes an expired session's subscriptions with it, which mochi would keep.
func (r *rules) OnClientExpired(cl *mochi.Client) {
	cl.ClearInflights()
	r.server.UnsubscribeClient(cl)
}

func (r *rules) belongs(name string) bool {
	if name == r.b.o.Service {
		return true
	}
	_, ok := r.b.o.Directory.AccountOf(name)
	return ok
}

// mayRetain tells which topics keep their last message. An inbox or outbox never does: a sealed grant has no place
// there.
func mayRetain(topic string) bool {
	t, ok := wire.ParseTopic(topic)
	return ok && (t.Leaf == "notice" || t.Leaf == "status" || t.Leaf == "state")
}

func (r *rules) mayPublish(name, topic string) bool {
	t, ok := wire.ParseTopic(topic)
	switch {
	case !ok:
		return false
	case name == r.b.o.Service:
		return true
	case topic == wire.OutboxTopic(name):
		return true
	case role(name) != string(wire.RoleHub):
		return false
	case t.Leaf == "status":
		return t.Name == name
	case t.Leaf == "state":
		account, _ := r.b.o.Directory.AccountOf(name)
		return t.Account == account && r.b.o.Directory.Holds(name, t.Name)
	}
	return false
}

// mayRead answers for filters and topics alike. The two filters of a house stand for many topics: each message is asked
// about.
func (r *rules) mayRead(name, topic string) bool {
	if name == r.b.o.Service {
		return true
	}
	isHub := role(name) == string(wire.RoleHub)
	account, member := r.b.o.Directory.AccountOf(name)
	switch topic {
	case wire.Statuses():
		return isHub
	case wire.States(account):
		return isHub && member
	}
	t, ok := wire.ParseTopic(topic)
	if !ok {
		return false
	}
	switch t.Leaf {
	case "inbox":
		return topic == wire.InboxTopic(name)
	case "notice":
		return member && t.Account == account
	case "status":
		return isHub && member && (t.Name == name || r.of(t.Name, account))
	case "state":
		return isHub && member && t.Account == account
	}
	return false
}

func (r *rules) of(member, account string) bool {
	a, ok := r.b.o.Directory.AccountOf(member)
	return ok && a == account
}
