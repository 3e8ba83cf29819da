// Package broker is the embedded MQTT 3.1.1 broker: mochi-mqtt with the access rules of the link. It keeps nothing on
// disk, and no member relies on it to: after each connect a member asks the account service for what it missed.
package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"

	mochi "github.com/mochi-mqtt/server/v2"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// Directory is the membership that the access rules depend on. It is read for every message and connect, so it answers
// from memory.
type Directory interface {
	// AccountOf returns the account of a member: a hub or a native device.
	AccountOf(member string) (account string, ok bool)
	// Holds returns whether a device of the hub's own account is bound through the hub.
	Holds(hub, device string) bool
}

// Options are the options of New.
type Options struct {
	Directory Directory
	Service   string // member name of the account service, which may publish and read every topic
	House     *House // nil where no house is published here
	Log       *slog.Logger
}

// Limits for one client. A full queue of an absent client drops the newest message: the client asks for it when it is
// back.
const (
	maxQueue      = 1024             // messages that wait for one client
	maxRetain     = 16 << 10         // bytes of one retained message
	sessionExpiry = 60 * 60          // seconds that the queue of an absent client is kept
	never         = 10 * 365 * 86400 // seconds
)

// Broker is an MQTT broker. Serve runs it.
type Broker struct {
	o Options
}

// New checks o, all of it. It starts nothing.
func New(o Options) (*Broker, error) {
	var errs []error
	if o.Directory == nil || o.Log == nil {
		errs = append(errs, errors.New("directory and log are needed"))
	}
	if !wire.ValidName(o.Service) || !strings.HasPrefix(o.Service, string(wire.RoleService)+"-") {
		errs = append(errs, fmt.Errorf("service %q is no name of an account service", o.Service))
	}
	if h := o.House; h != nil && (h.Password.IsZero() || len(h.Roots) == 0 || h.MayOrder == nil || h.Users == nil) {
		errs = append(errs, errors.New("house: password, roots, orders and users are needed"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	return &Broker{o: o}, nil
}

// Serve serves members on l until ctx ends, and then closes l and every connection. It may be called again with another
// listener: sessions and retained messages of the previous call are gone.
func (b *Broker) Serve(ctx context.Context, l net.Listener) error {
	conns := newListener(l, b.o.Log)
	log := slog.New(quiet{b.o.Log.Handler()})
	caps := mochi.NewDefaultServerCapabilities()
	caps.MaximumClientWritesPending = maxQueue
	caps.MaximumInflight = maxQueue
	caps.MaximumPacketSize = wire.MaxMessage + 1024 // and its topic
	caps.MaximumQos = 1
	caps.MaximumSessionExpiryInterval = sessionExpiry
	caps.MaximumMessageExpiryInterval = 0 // else it would drop retained messages after a day
	caps.MinimumProtocolVersion = 4
	caps.SharedSubAvailable, caps.SubIDAvailable, caps.TopicAliasMaximum = 0, 0, 0
	// Publishing the $SYS topics stops the world each time, and no member may read them.
	server := mochi.New(&mochi.Options{Capabilities: caps, Logger: log, SysTopicResendInterval: never})
	if err := server.AddHook(&rules{b: b, server: server}, nil); err != nil {
		return fmt.Errorf("broker: %w", errors.Join(err, l.Close()))
	}
	if err := server.AddListener(conns); err != nil {
		return fmt.Errorf("broker: %w", errors.Join(err, l.Close()))
	}
	if err := server.Serve(); err != nil {
		return fmt.Errorf("broker: %w", errors.Join(err, server.Close()))
	}
	b.o.Log.Info("broker listens", "addr", l.Addr().String())
	var err error
	select {
	case <-ctx.Done():
	case err = <-conns.failed:
		err = fmt.Errorf("broker: %w", err)
	}
	_ = server.Close() // returns nil always
	return err
}

// quiet passes on warnings of mochi, without attributes that can hold message content: mochi logs whole packets.
type quiet struct{ slog.Handler }

// Enabled implements slog.Handler.
func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}

// Handle passes a record on at debug level, with error and client alone: an error of one client is not the broker's.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, slog.LevelDebug, "broker: "+r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "error" || a.Key == "client" {
			clean.AddAttrs(slog.String(a.Key, a.Value.String()))
		}
		return true
	})
	if !q.Handler.Enabled(ctx, clean.Level) {
		return nil // an error of one client is a debug message
	}
	return q.Handler.Handle(ctx, clean)
}

func (q quiet) WithAttrs([]slog.Attr) slog.Handler { return q }
func (q quiet) WithGroup(string) slog.Handler      { return q }
