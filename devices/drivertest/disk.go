package drivertest

import (
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Disk is a budget of sign-ins and a memory of refused ones, as a store keeps them. It survives a driver.
type Disk struct {
	mu    sync.Mutex // guards the maps while drivers run
	Spent map[home.DeviceID]int
	Limit int // of sign-ins that were not given back
	Kept  map[home.DeviceID]home.SignIns
}

// NewDisk returns an empty Disk with a limit that no test reaches by chance.
func NewDisk() *Disk {
	return &Disk{Spent: map[home.DeviceID]int{}, Limit: 100, Kept: map[home.DeviceID]home.SignIns{}}
}

// Spend counts a sign-in, or returns home.ErrBudget.
func (d *Disk) Spend(id home.DeviceID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.Spent[id] >= d.Limit {
		return home.ErrBudget
	}
	d.Spent[id]++
	return nil
}

// Good gives the last sign-in back.
func (d *Disk) Good(id home.DeviceID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Spent[id]--
	return nil
}

// Refused implements keyring.Budget.
func (d *Disk) Refused(home.DeviceID) error { return nil }

// SignIns returns what was kept of a device.
func (d *Disk) SignIns(id home.DeviceID) (home.SignIns, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Kept[id], nil
}

// SaveSignIns keeps the record of a device.
func (d *Disk) SaveSignIns(id home.DeviceID, kept home.SignIns) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Kept[id] = kept
	return nil
}
