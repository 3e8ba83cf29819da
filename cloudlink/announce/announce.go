// Package announce announces a service of this machine by DNS-SD (RFC 6763), also while the network comes and goes.
package announce

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/grandcat/zeroconf"
)

// Service is what is announced. It carries no secret: everybody on the LAN reads it.
type Service struct {
	Instance, Type string // such as "hub-1" of "_rekeyd-hub._tcp"
	Port           uint16
	TXT            []string
	// Interfaces returns the interfaces to announce on that are up now. Loopback addresses are never announced.
	Interfaces func() ([]net.Interface, error)
	Poll       time.Duration // how often the interfaces are listed; 10 s when zero
	Log        *slog.Logger
}

// Run announces the service until ctx ends, and anew whenever the interfaces or their addresses change. It waits for
// an interface where none is there, and tries one again that cannot be used; it never gives up. Its error is that of
// an incomplete Service.
func (s Service) Run(ctx context.Context) error {
	if s.Instance == "" || s.Type == "" || s.Port == 0 || s.Interfaces == nil || s.Log == nil {
		return errors.New("announce: instance, type, port, interfaces and log are required")
	}
	if s.Poll == 0 {
		s.Poll = 10 * time.Second
	}
	var server *zeroconf.Server
	stop := func() {
		if server != nil {
			server.Shutdown() // sends the goodbye
			server = nil
		}
	}
	defer stop()
	var last []string
	failed := "" // was logged
	for {
		all, addrs, err := usable(s.Interfaces)
		if err == nil && (server == nil || !slices.Equal(addrs, last)) {
			stop()
			if last = addrs; len(all) > 0 {
				server, err = zeroconf.Register(s.Instance, s.Type, "local.", int(s.Port), s.TXT, all)
			}
		}
		switch {
		case err == nil:
			failed = ""
		case err.Error() != failed:
			failed = err.Error()
			s.Log.Warn("not announced", "type", s.Type, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(s.Poll):
		}
	}
}

// usable returns the interfaces that have an address, and all of their addresses.
func usable(list func() ([]net.Interface, error)) (all []net.Interface, addrs []string, err error) {
	up, err := list()
	if err != nil {
		return nil, nil, err
	}
	for _, i := range up {
		own, err := i.Addrs()
		if err != nil || len(own) == 0 {
			continue // gone meanwhile, or not of use yet
		}
		all = append(all, i)
		for _, a := range own {
			addrs = append(addrs, i.Name+" "+a.String())
		}
	}
	return all, addrs, nil
}

// Multicast returns every multicast interface that is up, loopback left out.
func Multicast() ([]net.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	return slices.DeleteFunc(all, func(i net.Interface) bool {
		return i.Flags&net.FlagUp == 0 || i.Flags&net.FlagMulticast == 0 || i.Flags&net.FlagLoopback != 0
	}), nil
}
