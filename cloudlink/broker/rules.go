package broker

import (
	"strings"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// rules are the access rules:
//
//	the service        everything
//	a hub              publishes to its own outbox and status, and to the states of the devices bound through it;
//	                   reads its own inbox, and of its account: the notice, states of devices, status of hubs
//	a native device    publishes to its own outbox; reads its own inbox and its account's notice
//	the house          see House: its publisher and its users have topics of their own
//
// A client without an account has its outbox and inbox, to enrol; its status is delivered but not retained. A
// publication against the rules is acknowledged and dropped, as MQTT-3.3.5-2 allows. Closing the connection instead
// would disconnect a hub for ever that publishes a state before the service has stored the binding.
type rules struct {
	mochi.HookBase
	b      *Broker
	server *mochi.Server
	pace   sync.Map // *mochi.Client -> *pace; of clients without an account
	new    strangers
}

// A client without an account sends one message, its enrolment. Further messages are read slowly, so that they do not
// delay those of members.
const (
	strangerPause = 100 * time.Millisecond // between its messages
	strangerBurst = 20                     // that need no pause
)

// pace limits the rate of one connection. Only the goroutine that reads the connection uses it.
type pace struct{ paid time.Time }

// wait waits until the next message may be processed.
func (p *pace) wait() {
	now := time.Now()
	if first := now.Add(-strangerBurst * strangerPause); p.paid.Before(first) {
		p.paid = first
	}
	p.paid = p.paid.Add(strangerPause)
	time.Sleep(p.paid.Sub(now))
}

func (r *rules) ID() string { return "rules" }

// Provides lists the hooks that are answered here; the library allows what is not listed.
func (r *rules) Provides(b byte) bool {
	switch b {
	case mochi.OnConnect,
		mochi.OnConnectAuthenticate,
		mochi.OnSubscribe,
		mochi.OnSubscribed,
		mochi.OnACLCheck,
		mochi.OnPublish,
		mochi.OnWill,
		mochi.OnDisconnect,
		mochi.OnClientExpired:
		return true
	}
	return false
}

// OnConnect refuses other versions than MQTT 3.1.1, because MQTT 5 could bypass these rules (topic aliases, delayed
// wills), and sets a keepalive for every connection. A client without an account beyond the limit of its address is
// disconnected without an answer: it tries again later, as after a failure of the network.
func (r *rules) OnConnect(cl *mochi.Client, pk packets.Packet) error {
	if pk.ProtocolVersion != 4 {
		return packets.ErrUnsupportedProtocolVersion
	}
	if !r.belongs(string(pk.Connect.Username)) && !r.new.admit(cl.Net.Remote, time.Now()) {
		r.b.o.Log.Debug("connection of a client without an account refused", "addr", cl.Net.Remote)
		return packets.ErrConnectionRateExceeded
	}
	const longest = 600 // seconds
	if cl.State.Keepalive == 0 || cl.State.Keepalive > longest {
		cl.State.Keepalive = longest
	}
	// mochi deletes a clean session by name, some time after its connection ended. If the member has connected again by
	// then, mochi deletes the new session. So every session is persistent here: it ends at the member's next clean
	// connect, or expires. That of a client without an account ends with its connection: see OnDisconnect.
	cl.Properties.Clean = false
	if r.known(string(pk.Connect.Username)) {
		return nil
	}
	cl.ID = "house/" + string(pk.Connect.Username) + "/" + cl.ID // it takes over no other client's session
	return nil
}

// OnConnectAuthenticate accepts a member that proves its key. The client id must be its name: otherwise one member
// could take over the session of another.
func (r *rules) OnConnectAuthenticate(cl *mochi.Client, pk packets.Packet) bool {
	name := string(pk.Connect.Username)
	ok, ours := r.b.o.House.login(name, string(pk.Connect.Password))
	if !ours {
		ok = cl.ID == name && wire.CheckLogin(name, string(pk.Connect.Password)) == nil && r.known(name)
	}
	ok = ok &&
		(!pk.Connect.WillFlag || r.mayPublish(name, pk.Connect.WillTopic) && len(pk.Connect.WillPayload) <= maxRetain)
	if !ok {
		r.b.o.Log.Debug("login refused", "addr", cl.Net.Remote)
	}
	return ok
}

// known reports whether the role in the name may connect.
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

// OnSubscribe replaces a subscription to a notice that the member may not read by one to its own inbox. A member
// closes its connection when a subscription is refused, so a removed or enrolling member would never receive the
// service's answer.
func (r *rules) OnSubscribe(cl *mochi.Client, pk packets.Packet) packets.Packet {
	name := string(cl.Properties.Username)
	for i, f := range pk.Filters {
		if t, ok := wire.ParseTopic(f.Filter); ok && t.Leaf == "notice" && !r.mayRead(name, f.Filter) {
			pk.Filters[i].Filter = wire.InboxTopic(name)
		}
	}
	pk.Filters = withoutRetained(pk.Filters)
	return pk
}

// OnACLCheck is called for each subscription, and for each message before it is delivered. Publications are checked by
// OnPublish.
func (r *rules) OnACLCheck(cl *mochi.Client, topic string, write bool) bool {
	return write || r.mayRead(string(cl.Properties.Username), topic)
}

// OnPublish drops publications against the rules, and retains none of a client without an account.
func (r *rules) OnPublish(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	name := string(cl.Properties.Username)
	retain := pk.FixedHeader.Retain
	if !r.belongs(name) {
		p, _ := r.pace.LoadOrStore(cl, new(pace))
		p.(*pace).wait() // delays this connection only
	}
	if !r.mayPublish(name, pk.TopicName) || retain && (len(pk.Payload) > maxRetain || !r.mayRetain(name, pk.TopicName)) ||
		r.b.o.House.isUser(name) && len(pk.Payload) > maxOrder {
		r.b.o.Log.Debug("publication dropped", "client", name)
		return pk, packets.CodeSuccessIgnore
	}
	if retain && !r.belongs(name) {
		pk.FixedHeader.Retain = false
	}
	return pk, nil
}

// OnDisconnect deletes the rate of the connection, and the session of a client without an account: anybody can make up
// names. A session that a later connection has taken over stays.
func (r *rules) OnDisconnect(cl *mochi.Client, _ error, _ bool) {
	r.pace.Delete(cl)
	if r.belongs(string(cl.Properties.Username)) || cl.IsTakenOver() {
		return
	}
	r.OnClientExpired(cl)
	if now, ok := r.server.Clients.Get(cl.ID); ok && now == cl {
		r.server.Clients.Delete(cl.ID)
	}
}

// OnWill checks the will again: the membership may have changed since the connect.
func (r *rules) OnWill(cl *mochi.Client, w mochi.Will) (mochi.Will, error) {
	name := string(cl.Properties.Username)
	if !r.belongs(name) || !r.mayRetain(name, w.TopicName) {
		w.Retain = false
	}
	if !r.mayPublish(name, w.TopicName) {
		w.TopicName, w.Payload, w.Retain = wire.OutboxTopic(name), nil, false // empty: the service drops it
	}
	return w, nil
}

// OnClientExpired deletes the subscriptions of an expired session, which mochi keeps.
func (r *rules) OnClientExpired(cl *mochi.Client) {
	cl.ClearInflights()
	r.server.UnsubscribeClient(cl)
}

// belongs reports whether the client is the service, the publisher of the house, or a member of an account.
func (r *rules) belongs(name string) bool {
	if name == r.b.o.Service || r.b.o.House.isPublisher(name) {
		return true
	}
	_, ok := r.b.o.Directory.AccountOf(name)
	return ok
}

// mayRetain reports whether the broker retains the last message of a topic: publications of the house, notices, statuses
// and states. It never does for an inbox or outbox, which carry sealed grants. A message that a user retains is delivered, and
// not retained: see OnPublish.
func (r *rules) mayRetain(name, topic string) bool {
	if !r.known(name) {
		return true
	}
	t, ok := wire.ParseTopic(topic)
	return ok && (t.Leaf == "notice" || t.Leaf == "status" || t.Leaf == "state")
}

// mayPublish is the rule for publications: the service to every topic of the protocol, a member to its own outbox, a
// hub also to its own status and to the states of the devices that it holds.
func (r *rules) mayPublish(name, topic string) bool {
	if !r.known(name) {
		return r.b.o.House.mayPublish(name, topic)
	}
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

// mayRead checks filters and topics. The two filters with a wildcard cover many topics, so each message is checked too.
func (r *rules) mayRead(name, topic string) bool {
	switch {
	case name == r.b.o.Service:
		return true
	case !r.known(name):
		return r.b.o.House.mayRead(name, topic)
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
