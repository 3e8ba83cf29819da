package nc_test

import (
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// disk is budget and memory as a store keeps them.
type disk struct {
	mu    sync.Mutex // guards the fields below
	spent map[home.DeviceID]int
	limit int // of sign-ins that were not given back
	kept  map[home.DeviceID]home.SignIns
}

func newDisk() *disk {
	return &disk{spent: map[home.DeviceID]int{}, limit: 100, kept: map[home.DeviceID]home.SignIns{}}
}

func (s *disk) Spend(id home.DeviceID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spent[id] >= s.limit {
		return home.ErrBudget
	}
	s.spent[id]++
	return nil
}

func (s *disk) Good(id home.DeviceID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spent[id]--
	return nil
}

func (s *disk) SignIns(id home.DeviceID) (home.SignIns, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[id], nil
}

func (s *disk) SaveSignIns(id home.DeviceID, kept home.SignIns) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[id] = kept
	return nil
}
