package cloudlink_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// dialLog counts the connections that ended.
type dialLog struct {
	slog.Handler
	n *atomic.Int64
}

func (d dialLog) Enabled(context.Context, slog.Level) bool { return true }

func (d dialLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "broker connection ended" {
		d.n.Add(1)
	}
	return nil
}

// A hub passes a notice to a native device through its endpoint, and the device asks: after an hour without a broker it
// does not wait for the end of its pause.
func TestAskDialsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := localstore.Open(localstore.Options{Dir: t.TempDir(), Log: quiet})
		must(t, err)
		must(t, store.Enrol(home.Account{ID: house1, Email: email, Brokers: []string{"mqtt://127.0.0.1:1"}}, home.Credential{}))
		id, err := wire.NewIdentity(wire.RoleHub, wire.NewSeed(), wire.NewSeed())
		must(t, err)
		var n atomic.Int64
		link, err := cloudlink.New(cloudlink.Options{
			Identity: id, Store: store, Boot: 1, Log: slog.New(dialLog{slog.DiscardHandler, &n}),
		})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- link.Run(ctx) }()
		time.Sleep(time.Hour)
		n.Store(0)
		const asks = 20
		for range asks {
			link.Ask()
			time.Sleep(time.Second)
		}
		if got := n.Load(); got < asks {
			t.Errorf("dialled %d times in %d s, want once for each Ask", got, asks)
		}
		cancel()
		must(t, <-done)
		must(t, store.Close())
	})
}
