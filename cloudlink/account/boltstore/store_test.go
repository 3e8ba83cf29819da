package boltstore_test

import (
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/boltstore"
	"github.com/rekeyd/rekeyd/cloudlink/account/storetest"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// opener opens stores in directories of the test.
type opener struct{ dirs map[account.Store]string }

func (o opener) Open(t *testing.T) account.Store { return o.open(t, t.TempDir()) }

func (o opener) Reopen(t *testing.T, s account.Store) account.Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return o.open(t, o.dirs[s])
}

func (o opener) open(t *testing.T, dir string) account.Store {
	t.Helper()
	s, err := boltstore.Open(dir, home.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	o.dirs[s] = dir
	return s
}

func TestTheStoreKeepsItsPromises(t *testing.T) {
	storetest.Run(t, opener{map[account.Store]string{}})
}
