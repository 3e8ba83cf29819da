package broker

import (
	"crypto/subtle"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Publisher is the user name of the hub's own connection, over which it publishes the house.
const Publisher = "house"

// House is the part of the broker that is not the account link's: the hub publishes the states of its house, and the
// users whom its owner added read them and send orders. Neither reads or writes a topic of the link.
type House struct {
	Password home.Secret             // of Publisher
	Roots    []string                // topics below which the hub publishes and users read
	MayOrder func(topic string) bool // the topics to which users may publish
	Users    Users
}

// Users are who may read the house. Known is called for every message, so it answers from memory.
type Users interface {
	Known(name string) bool
	Verify(name, password string) bool
}

// maxOrder is the longest payload of a user, in bytes.
const maxOrder = 256

// isPublisher reports whether the name is that of the hub's own connection.
func (h *House) isPublisher(name string) bool { return h != nil && name == Publisher }

// isUser reports whether the name is that of a user.
func (h *House) isUser(name string) bool {
	return h != nil && name != Publisher && CheckUserName(name) == nil && h.Users.Known(name)
}

// login checks a password; ours is false for a name that is not of the house.
func (h *House) login(name, password string) (ok, ours bool) {
	switch {
	case h == nil || CheckUserName(name) != nil && name != Publisher:
		return false, false
	case name == Publisher:
		return subtle.ConstantTimeCompare([]byte(password), []byte(h.Password.Reveal())) == 1, true
	}
	return h.Users.Verify(name, password), true
}

// covers reports whether a topic, or a whole filter, is below the roots.
func (h *House) covers(topic string) bool {
	for _, root := range h.Roots {
		if strings.HasPrefix(topic, root+"/") {
			return true
		}
	}
	return false
}

// mayRead is the rule for topics and filters.
func (h *House) mayRead(name, topic string) bool {
	return (h.isPublisher(name) || h.isUser(name)) && h.covers(topic)
}

// mayPublish is the rule for publications.
func (h *House) mayPublish(name, topic string) bool {
	switch {
	case h.isPublisher(name):
		return h.covers(topic)
	case h.isUser(name):
		return h.covers(topic) && h.MayOrder(topic)
	}
	return false
}
