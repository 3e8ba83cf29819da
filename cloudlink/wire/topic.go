package wire

import "strings"

// Root is the first part of every topic.
const Root = "rekeyd/v1/"

// DoorPath is where the door of a device that speaks the link takes messages, over HTTP on its announced port.
const DoorPath = "/rekeyd/v1/door"

// The topics of the link. A member is a hub or a device that speaks the link itself: its role tells which.

// NoticeTopic carries the account's newest notice, retained.
func NoticeTopic(account string) string { return Root + "account/" + account + "/notice" }

// InboxTopic carries what the service tells a member.
func InboxTopic(member string) string { return Root + branch(member) + "/" + member + "/inbox" }

// OutboxTopic carries what a member tells the service.
func OutboxTopic(member string) string { return Root + branch(member) + "/" + member + "/outbox" }

// StatusTopic says whether a hub is online, retained; also the hub's last will.
func StatusTopic(hub string) string { return Root + "hub/" + hub + "/status" }

// StateTopic carries a device's state as its hub tells it, retained.
func StateTopic(device string) string { return Root + "device/" + device + "/state" }

// Outboxes are the filters under which the service hears every member.
func Outboxes() []string { return []string{Root + "hub/+/outbox", Root + "device/+/outbox"} }

// States is the filter under which the service hears of every device's state.
func States() string { return Root + "device/+/state" }

// Statuses is the filter under which the service hears which hubs are there.
func Statuses() string { return Root + "hub/+/status" }

func branch(member string) string {
	if strings.HasPrefix(member, string(RoleDevice)+"-") {
		return "device"
	}
	return "hub"
}

// Topic is a topic of the link, taken apart.
type Topic struct {
	Branch string // "account", "hub" or "device"
	Name   string
	Leaf   string // "notice", "inbox", "outbox", "status" or "state"
}

// ParseTopic takes a topic of the link apart. ok is false for anything else.
func ParseTopic(s string) (t Topic, ok bool) {
	rest, ok := strings.CutPrefix(s, Root)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 || !ValidName(parts[1]) {
		return Topic{}, false
	}
	t = Topic{Branch: parts[0], Name: parts[1], Leaf: parts[2]}
	switch t.Branch + "/" + t.Leaf {
	case "account/notice", "hub/inbox", "hub/outbox", "hub/status", "device/inbox", "device/outbox", "device/state":
		return t, true
	}
	return Topic{}, false
}
