// Package broker is the embedded MQTT 3.1.1 broker: mochi-mqtt behind the link's access rules. It keeps nothing on disk, and
// nobody trusts it to: whoever connects asks for what it missed.
package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"syscall"

	mochi "github.com/mochi-mqtt/server/v2"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Directory says who belongs to whom. It is asked for every message, so it answers from memory.
type Directory interface {
	// AccountOf returns the account of which a hub or a device that speaks the link is a member.
	AccountOf(member string) (account string, ok bool)
	// HolderOf returns the hub that holds a device.
	HolderOf(device string) (member string, ok bool)
}

// Options are what New checks.
type Options struct {
	Listen    string       // address; DefaultListen when empty
	Listener  net.Listener // used instead of Listen, where given; Run closes it
	Directory Directory
	Service   string // the account service's name, which may do everything
	Log       *slog.Logger
}

// DefaultListen is where the broker listens unless told otherwise.
const DefaultListen = "127.0.0.1:7355"

// What one client may cost. A queue of an absent client that is longer loses its newest: whoever comes back asks.
const (
	maxQueue   = 1024             // messages that wait for one client
	maxClients = 10_000           // connections at once
	maxRetain  = 16 << 10         // bytes of one retained message
	session    = 60 * 60          // seconds that the queue of an absent client is kept
	never      = 10 * 365 * 86400 // seconds
)

// Broker is the broker.
type Broker struct {
	o        Options
	listener *listener
	counts   counts
}

type counts struct{ login, publish, subscribe atomic.Uint64 }

// New checks o, all of it, and opens the port. Run serves there. A port that is taken is a home.Error with a hint.
func New(o Options) (*Broker, error) {
	var errs []error
	if o.Directory == nil || o.Log == nil {
		errs = append(errs, errors.New("directory and log are needed"))
	}
	if !wire.ValidName(o.Service) || !strings.HasPrefix(o.Service, string(wire.RoleService)+"-") {
		errs = append(errs, fmt.Errorf("service %q is no name of an account service", o.Service))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	if o.Listen == "" {
		o.Listen = DefaultListen
	}
	b := &Broker{o: o}
	l := o.Listener
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", o.Listen); err != nil {
			hint := "give the embedded broker an address of this machine with --broker-listen"
			if errors.Is(err, syscall.EADDRINUSE) {
				err = errors.New("another program listens there")
				hint = "stop what listens on " + o.Listen + ", or choose another address with --broker-listen"
			}
			return nil, &home.Error{Op: "open the embedded broker on " + o.Listen, Err: err, Hint: hint}
		}
	}
	b.listener = newListener(l)
	return b, nil
}

// Addr returns where the broker listens.
func (b *Broker) Addr() net.Addr { return b.listener.Addr() }

// URL returns the broker's address as members dial it.
func (b *Broker) URL() string { return "mqtt://" + b.Addr().String() }

// Close frees the port of a broker that is not run.
func (b *Broker) Close() error { return b.listener.Listener.Close() }

// Run serves until ctx ends, and then cuts every connection.
func (b *Broker) Run(ctx context.Context) error {
	log := slog.New(quiet{b.o.Log.Handler()})
	caps := mochi.NewDefaultServerCapabilities()
	caps.MaximumClients = maxClients
	caps.MaximumClientWritesPending = maxQueue
	caps.MaximumInflight = maxQueue
	caps.MaximumPacketSize = wire.MaxMessage + 1024 // and its topic
	caps.MaximumQos = 1
	caps.MaximumSessionExpiryInterval = session
	caps.MaximumMessageExpiryInterval = 0 // else it would drop retained messages after a day
	caps.MinimumProtocolVersion = 4
	caps.SharedSubAvailable, caps.SubIDAvailable, caps.TopicAliasMaximum = 0, 0, 0
	// The $SYS topics cost a stop of the world each time they are told; nobody may read them anyway.
	server := mochi.New(&mochi.Options{Capabilities: caps, Logger: log, SysTopicResendInterval: never})
	if err := server.AddHook(&rules{b: b, server: server}, nil); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	if err := server.AddListener(b.listener); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	if err := server.Serve(); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	b.o.Log.Info("broker listens", "addr", b.Addr().String())
	var err error
	select {
	case <-ctx.Done():
	case err = <-b.listener.failed:
		err = fmt.Errorf("broker: %w", err)
	}
	_ = server.Close() // returns nil always
	return err
}

// Counts returns how often something was refused, by what.
func (b *Broker) Counts() map[string]uint64 {
	return map[string]uint64{
		"login": b.counts.login.Load(), "publish": b.counts.publish.Load(), "subscribe": b.counts.subscribe.Load(),
	}
}

// quiet lets warnings through, and of their facts only those that hold nothing of a message: mochi logs whole packets.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, slog.LevelDebug, "broker: "+r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "error" || a.Key == "client" {
			clean.AddAttrs(slog.String(a.Key, a.Value.String()))
		}
		return true
	})
	if !q.Handler.Enabled(ctx, clean.Level) {
		return nil // what a client does wrong is no event of the house
	}
	return q.Handler.Handle(ctx, clean)
}

func (q quiet) WithAttrs([]slog.Attr) slog.Handler { return q }
func (q quiet) WithGroup(string) slog.Handler      { return q }
