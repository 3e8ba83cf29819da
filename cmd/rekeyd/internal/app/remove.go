package app

import (
	"bytes"
	"errors"
	"path/filepath"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/boltstore"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// RemoveHub removes a hub from its account at the account service whose state is in that of the hub; removed is false
// where the account is at another service. The daemon must be stopped.
func RemoveHub(state string, passphrase home.Secret, a home.Account, hub string) (removed bool, err error) {
	dir := filepath.Join(state, AccountFolder)
	if !boltstore.Exists(dir) {
		return false, nil
	}
	store, err := boltstore.Open(dir, passphrase)
	if err != nil {
		return false, err
	}
	removed, err = removeHub(store, a, hub)
	return removed, errors.Join(err, store.Close())
}

// removeHere removes the hub, which has left its account, at the account service in this process.
func (h *Hub) removeHere(a home.Account) {
	if h.o.Service == nil || a.Provider == home.TPLink {
		return
	}
	if _, err := removeHub(h.o.Service.store, a, h.identity.Name); err != nil {
		h.o.Log.Warn("hub not removed from its account", "hub", h.identity.Name, "err", err)
	}
}

// removeHub removes a hub where a store has its account. Whoever can write to the store is trusted with it.
func removeHub(store *boltstore.Store, a home.Account, hub string) (removed bool, err error) {
	id, err := store.Identity()
	if err != nil || !bytes.Equal(id.Keys.Sign, a.ServiceKey) {
		return false, err
	}
	err = store.RemoveHub(string(a.ID), hub, account.Event{At: time.Now().UTC().Round(0), What: "hub removed"})
	if errors.Is(err, home.ErrNotFound) {
		return true, nil
	}
	return err == nil, err
}
