package main

import (
	"context"
	"log/slog"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// openExisting opens the store that a daemon left, when none runs. It makes none.
func openExisting(_ context.Context, state string) (*localstore.Store, error) {
	if !localstore.Exists(state) {
		return nil, &home.Error{
			Op: "ask the daemon", Err: errNotRunning(state), Hint: "start it with: rekeyd run; or say where its state is with --state",
		}
	}
	return localstore.Open(localstore.Options{Dir: state, Log: slog.New(slog.DiscardHandler)})
}

// storedStatus is the house as it stands in the store: what was last known.
func storedStatus(ctx context.Context, state string) (daemon.Status, error) {
	store, err := openExisting(ctx, state)
	if err != nil {
		return daemon.Status{}, err
	}
	defer store.Close()
	keys, err := store.HubKeys()
	if err != nil {
		return daemon.Status{}, err
	}
	id, err := wire.NewIdentity(wire.RoleHub, []byte(keys.Sign.Reveal()), []byte(keys.Seal.Reveal()))
	if err != nil {
		return daemon.Status{}, err
	}
	a, rows, err := daemon.Stored(store)
	if err != nil {
		return daemon.Status{}, err
	}
	return daemon.Status{
		Account: a.Email, Epoch: a.Epoch, Hub: home.HubID(id.Name), Link: "down", Reason: "the daemon does not run", Devices: rows,
	}, nil
}
