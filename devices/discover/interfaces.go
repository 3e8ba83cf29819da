package discover

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Interfaces are the names of the network interfaces to look on. None stands for every multicast interface that is up,
// loopback left out.
type Interfaces []string

// Up returns those that are up now. A named one is taken whatever its flags are, since the loopback interface carries
// multicast without the flag; one that does not exist (yet) is left out.
func (n Interfaces) Up() ([]net.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	return slices.DeleteFunc(all, func(i net.Interface) bool { return i.Flags&net.FlagUp == 0 || !n.allow(i) }), nil
}

func (n Interfaces) allow(i net.Interface) bool {
	if len(n) > 0 {
		return slices.Contains(n, i.Name)
	}
	return i.Flags&net.FlagMulticast != 0 && i.Flags&net.FlagLoopback == 0
}

// Troubles returns why no device can be found on an interface as this machine is now.
func (n Interfaces) Troubles() []home.Trouble {
	all, err := net.Interfaces()
	if err != nil {
		return []home.Trouble{{What: "no device can be found: " + err.Error()}}
	}
	var of []present
	for _, i := range all {
		addrs, err := i.Addrs()
		of = append(of, present{i, err == nil && len(addrs) > 0})
	}
	return n.troubles(of)
}

// present is an interface of this machine.
type present struct {
	net.Interface
	addressed bool // it has an address
}

var (
	errAbsent      = errors.New("does not exist")
	errDown        = errors.New("is down")
	errUnaddressed = errors.New("has no address")
)

// usable returns why no device can be found on i; nil for an interface that serves.
func usable(i present) error {
	switch {
	case i.Flags&net.FlagUp == 0:
		return errDown
	case !i.addressed:
		return errUnaddressed
	}
	return nil
}

// troubles is Troubles for a machine with these interfaces.
func (n Interfaces) troubles(all []present) []home.Trouble {
	var serving, others []string // others could serve if they were named
	states := map[string]error{}
	for _, i := range all {
		states[i.Name] = usable(i)
		switch {
		case states[i.Name] != nil:
		case n.allow(i.Interface):
			serving = append(serving, i.Name)
		case Interfaces(nil).allow(i.Interface):
			others = append(others, i.Name)
		}
	}
	if len(n) == 0 && len(serving) == 0 {
		return []home.Trouble{{
			What: "no device can be found: this machine has no network interface with multicast that is up and has an address " +
				"(it has " + list(all) + ")",
			Hint: "connect this machine to the network of the house; rekeyd goes on by itself then",
		}}
	}
	var out []home.Trouble
	for _, name := range n {
		err, ok := states[name]
		if !ok {
			err = errAbsent
		}
		if err == nil {
			continue
		}
		hint := "connect it; rekeyd goes on by itself then"
		if len(others) > 0 {
			hint = "start rekeyd with another one: rekeyd run --interface " + strings.Join(others, " --interface ")
		}
		out = append(out, home.Trouble{
			What: fmt.Sprintf("no device can be found on the interface %s: it %v (this machine has %s)", name, err, list(all)),
			Hint: hint,
		})
	}
	return out
}

// list returns the interfaces with their states, for people.
func list(all []present) string {
	if len(all) == 0 {
		return "none"
	}
	var words []string
	for _, i := range all {
		word := i.Name
		if err := usable(i); err != nil {
			word += ", which " + err.Error()
		}
		words = append(words, word)
	}
	return strings.Join(words, "; ")
}
