package wire

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// Body is the part of a message that differs from type to type.
type Body interface {
	// check checks the form of the body, before it is signed and after it is read. It leaves out the lengths of keys,
	// seals and proofs: a wrong one verifies nothing and opens nothing.
	check() error
}

// kinds is the table of messages. Each file of bodies has the rows of its bodies. A type is accepted with the "typ" of
// its way only.
var kinds = slices.Concat(membership, binding, leases, relaying, endpoint)

// kind is a row of the table.
type kind struct {
	typ string
	way Way
	new func() Body
}

// Way is the way on which a message travels.
type Way int

// The ways. Between two ends each type has one.
const (
	Outbox   Way = iota // from a member to the service
	Inbox               // from the service to a member
	Endpoint            // between a hub and a native device on the LAN
)

func (w Way) use() use {
	if w == Endpoint {
		return useEndpoint
	}
	return useMessage
}

// Types returns the types of the messages on a way. The tests of both ends compare them with the tables there.
func Types(w Way) []string {
	var types []string
	for _, k := range kinds {
		if k.way == w {
			types = append(types, k.typ)
		}
	}
	return types
}

func body[T any, P interface {
	*T
	Body
}]() Body {
	return P(new(T))
}

// The table by type, and by the Go type of the body.
var (
	kindOf = index(func(k kind) string { return k.typ })
	kindAs = index(func(k kind) reflect.Type { return reflect.TypeOf(k.new()) })
)

func index[K comparable](key func(kind) K) map[K]kind {
	m := make(map[K]kind, len(kinds))
	for _, k := range kinds {
		m[key(k)] = k
	}
	return m
}

// TypeOf returns the type of a message with the body b.
func TypeOf(b Body) string { return kindAs[reflect.TypeOf(b)].typ }

// newBody returns an empty body of the type, or nil where the table has none with this use.
func newBody(u use, typ string) Body {
	if k, ok := kindOf[typ]; ok && k.way.use() == u {
		return k.new()
	}
	return nil
}

var errName = errors.New("a name is missing or malformed")

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func names(ss ...string) error {
	for _, s := range ss {
		if !ValidName(s) {
			return errName
		}
	}
	return nil
}

// list checks that there are not too many devices, each with a valid name that stands once.
func list[T any](ds []T, most int, name func(T) string) error {
	if len(ds) > most {
		return fmt.Errorf("%d devices, at most %d", len(ds), most)
	}
	seen := make(map[string]bool, len(ds))
	for _, d := range ds {
		n := name(d)
		if !ValidName(n) || seen[n] {
			return errName
		}
		seen[n] = true
	}
	return nil
}

// text checks a text that people read: short, valid UTF-8, no control characters.
func text(ss ...string) error {
	for _, s := range ss {
		if len(s) > 256 || !utf8.ValidString(s) || strings.ContainsFunc(s, isControl) {
			return errors.New("a text is too long or malformed")
		}
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }
