package broker

import (
	"strings"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// mochi looks retained messages up below a filter with a wildcard without the lock under which it writes them (v2.7.9:
// TopicsIndex.scanMessages and RetainMessage). So such a filter gets none from it, and those here.

// neverRetained is the retain handling of a subscription that receives no retained messages (MQTT 5, 3.8.3.1). A client
// of MQTT 3.1.1 cannot ask for it.
const neverRetained = 2

// withoutRetained returns the subscriptions with those of a wildcard changed to receive no retained message from mochi.
func withoutRetained(filters packets.Subscriptions) packets.Subscriptions {
	for i, f := range filters {
		if strings.ContainsAny(f.Filter, "+#") {
			filters[i].RetainHandling = neverRetained
		}
	}
	return filters
}

// OnSubscribed sends the retained messages below filters with a wildcard, at QoS 0: the connection carries them in order
// or ends, and a new connection subscribes again.
func (r *rules) OnSubscribed(cl *mochi.Client, pk packets.Packet, codes []byte) {
	name := string(cl.Properties.Username)
	for i, f := range pk.Filters {
		if f.RetainHandling != neverRetained || codes[i] > packets.CodeGrantedQos2.Code {
			continue
		}
		for topic := range r.server.Topics.Retained.GetAll() {
			m, kept := r.server.Topics.Retained.Get(topic) // the newest, as others may have come since
			if !kept || !matches(f.Filter, topic) || !r.mayRead(name, topic) {
				continue
			}
			m = m.Copy(false)
			m.FixedHeader = packets.FixedHeader{Type: packets.Publish, Retain: true}
			if cl.WritePacket(m) != nil {
				return
			}
		}
	}
}

// matches reports whether a topic is below a filter (MQTT 3.1.1, 4.7.1).
func matches(filter, topic string) bool {
	for {
		if filter == "#" {
			return true
		}
		level, filters, more := strings.Cut(filter, "/")
		name, topics, deeper := strings.Cut(topic, "/")
		if level != "+" && level != name {
			return false
		}
		if !more || !deeper {
			return more == deeper || filters == "#"
		}
		filter, topic = filters, topics
	}
}
