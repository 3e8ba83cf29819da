package localstore

import (
	"reflect"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// Devices returns every bound device as it was when it was last saved.
func (s *Store) Devices() ([]home.Device, error) { return boltfile.View(s.file, devices.all) }

// Bound returns those of the devices that are bound.
func (s *Store) Bound(ids []home.DeviceID) ([]home.Device, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (ds []home.Device, err error) {
		for _, id := range ids {
			d, ok, err := devices.get(tx, string(id))
			if err != nil {
				return nil, err
			}
			if ok {
				ds = append(ds, d)
			}
		}
		return ds, nil
	})
}

// ProofRanks returns the proof rank that is recorded for the binding of each bound device.
func (s *Store) ProofRanks(ids []home.DeviceID) (map[home.DeviceID]home.ProofRank, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (map[home.DeviceID]home.ProofRank, error) {
		ranks := make(map[home.DeviceID]home.ProofRank, len(ids))
		for _, id := range ids {
			b, ok, err := bindings.get(tx, string(id))
			if err != nil {
				return nil, err
			}
			if ok {
				ranks[id] = b.ProofRank
			}
		}
		return ranks, nil
	})
}

// SaveDevices records where bound devices were last seen. It skips other devices, and those of which only the time is
// new.
func (s *Store) SaveDevices(ds []home.Device) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		for _, d := range ds {
			if !bindings.has(tx, string(d.ID)) {
				continue
			}
			if err := putDevice(tx, d); err != nil {
				return err
			}
		}
		return nil
	})
}

// putDevice records a device, unless only the time of its sighting is new: that is written with other changes.
func putDevice(tx *bbolt.Tx, d home.Device) error {
	d.Seen = utc(d.Seen)
	old, ok, err := devices.get(tx, string(d.ID))
	if err != nil {
		return err
	}
	if ok {
		same := d
		same.Seen = old.Seen
		if reflect.DeepEqual(deviceToDisk(same), deviceToDisk(old)) {
			return nil
		}
	}
	return devices.put(tx, string(d.ID), d)
}
