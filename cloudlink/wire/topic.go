package wire

import "strings"

// Root is the first part of every topic.
const Root = "rekeyd/v1/"

// EndpointPath is the HTTP path of a native device's endpoint, on its announced port.
const EndpointPath = "/rekeyd/v1/endpoint"

// The topics of the link. A member is a hub or a native device, by the role in its name.

// NoticeTopic carries the account's newest notice, retained.
func NoticeTopic(account string) string { return Root + "account/" + account + "/notice" }

// InboxTopic carries messages of the service to a member.
func InboxTopic(member string) string { return Root + branchOf(member) + "/" + member + "/inbox" }

// OutboxTopic carries messages of a member to the service.
func OutboxTopic(member string) string { return Root + branchOf(member) + "/" + member + "/outbox" }

// StatusTopic carries whether a hub is online, retained; it is also the topic of the hub's last will.
func StatusTopic(hub string) string { return Root + "hub/" + hub + "/status" }

// StateTopic carries a device's state as its hub reports it, retained. It names the account: the same address can be
// bound in another account, and neither learns of the other.
func StateTopic(account, device string) string {
	return Root + "account/" + account + "/device/" + device + "/state"
}

// Outboxes returns the filters for the outboxes of all members.
func Outboxes() []string { return []string{Root + "hub/+/outbox", Root + "device/+/outbox"} }

// States is the filter for the states of an account's devices; the service subscribes with the account "+".
func States(account string) string { return StateTopic(account, "+") }

// Statuses returns the filter for the statuses of all hubs.
func Statuses() string { return Root + "hub/+/status" }

func branchOf(member string) string {
	if strings.HasPrefix(member, string(RoleDevice)+"-") {
		return "device"
	}
	return "hub"
}

// Topic is a parsed topic of the link.
type Topic struct {
	Account string // of a notice and of a state, else empty
	Name    string // of the member, or of the device whose state it is; empty for a notice
	Leaf    string // "notice", "inbox", "outbox", "status" or "state"
}

// ParseTopic parses a topic of the link. ok is false for anything else.
func ParseTopic(s string) (t Topic, ok bool) {
	rest, ok := strings.CutPrefix(s, Root)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) < 3 || !ValidName(parts[1]) {
		return Topic{}, false
	}
	switch branch, name, leaf := parts[0], parts[1], parts[2]; {
	case len(parts) == 5 && branch == "account" && leaf == "device" && ValidName(parts[3]) && parts[4] == "state":
		return Topic{Account: name, Name: parts[3], Leaf: "state"}, true
	case len(parts) != 3:
	case branch == "account" && leaf == "notice":
		return Topic{Account: name, Leaf: leaf}, true
	case branch == branchOf(name) && (leaf == "inbox" || leaf == "outbox"), branch == "hub" && leaf == "status":
		return Topic{Name: name, Leaf: leaf}, true
	}
	return Topic{}, false
}
