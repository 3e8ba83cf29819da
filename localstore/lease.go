package localstore

import (
	"errors"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// SetShared records whether the account has other hubs. With others, a hub that starts moves no device before it has
// renewed its lease.
func (s *Store) SetShared(id home.AccountID, shared bool) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		a, err := accountOf(tx, id)
		if err != nil || a.Shared == shared {
			return err
		}
		a.Shared = shared
		return putAccount(tx, a)
	})
}

// Share applies the list of the account's devices to the bindings, and returns how many devices this hub takes over.
// The proof rank of a binding rises to that in the list. A bound device that is orphaned, or not in the list, is
// reported to the service again, with its sign-in: its binding secret there is another hub's, or none.
func (s *Store) Share(id home.AccountID, held []home.Held) (taken int, err error) {
	list := make(map[home.DeviceID]home.Held, len(held))
	for _, h := range held {
		list[h.Device] = h
	}
	err = s.file.Update(func(tx *bbolt.Tx) error {
		taken = 0
		a, err := accountOf(tx, id)
		if err != nil {
			return err
		}
		all, err := bindings.all(tx)
		if err != nil {
			return err
		}
		for _, b := range all {
			h, listed := list[b.Device]
			next := b
			next.ProofRank = max(b.ProofRank, h.Rank)
			if h.Standing == home.HeldByOther && h.SignedIn <= a.Epoch && neverProves(tx, b.Device) {
				next.DeviceEpoch = max(b.DeviceEpoch, h.SignedIn)
			}
			if !listed || h.Standing == home.Orphaned {
				taken++
				next.CloudEpoch = 0
				if err := takeOver(tx, a, next); err != nil {
					return err
				}
			}
			if next != b {
				if err := bindings.put(tx, string(b.Device), next); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return taken, err
}

// neverProves reports whether a device proves to no hub which password it holds: the hub that moved it is the only one
// to know, and its report is all that another hub has.
func neverProves(tx *bbolt.Tx, id home.DeviceID) bool {
	d, ok, err := devices.get(tx, string(id))
	return err == nil && ok && d.Protocol.Info().Rank == home.ToldFirst
}

// takeOver queues the binding of a device, and its sign-in where it holds the newest epoch.
func takeOver(tx *bbolt.Tx, a home.Account, b home.Binding) error {
	err := announce(tx, home.Errand{Kind: home.ErrandBind, Device: b.Device, At: now()})
	if a.Epoch != 0 && b.DeviceEpoch == a.Epoch {
		e := home.Errand{Kind: home.ErrandSignIn, Device: b.Device, Epoch: a.Epoch, At: now()}
		err = errors.Join(err, announce(tx, e))
	}
	return err
}
