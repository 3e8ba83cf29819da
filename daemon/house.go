package daemon

import (
	"errors"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// House returns the account and a row of every device, by label. An error means that the ledger could not be
// read.
func (r *Rekeyer) House() (home.Account, []Row, error) {
	h, err := r.o.Ledger.House()
	if err != nil {
		return home.Account{}, nil, err
	}
	sights := stored(h)
	r.mu.Lock()
	for id, m := range r.memories {
		s := sights[id] // zero for a device that is not bound
		s.account, s.memory = h.Account, *m
		sights[id] = s
	}
	r.mu.Unlock()
	leftOut := keySet(h.LeftOut)
	rows := make([]Row, 0, len(sights))
	for id, s := range sights {
		if row, ok := r.row(id, s, leftOut); ok {
			rows = append(rows, row)
		}
	}
	sortRows(rows)
	return h.Account, rows, nil
}

// rowsOf returns the rows of these devices. One that is forgotten has none.
func (r *Rekeyer) rowsOf(ids []home.DeviceID) ([]Row, error) {
	a, err := r.o.Ledger.Account()
	if err != nil && !errors.Is(err, home.ErrNoAccount) {
		r.o.Log.Error("ledger not read", "err", err)
		return nil, err
	}
	var rows []Row
	for _, id := range ids {
		s := sight{account: a}
		b, err := r.o.Ledger.Binding(id)
		if err == nil {
			s.binding, s.bound = b, true
		}
		known := false
		r.with(id, func(m *memory) { s.memory, known = *m, true })
		if !known {
			continue
		}
		if row, ok := r.row(id, s, nil); ok {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// row shows one device; ok is false for a device that was forgotten.
func (r *Rekeyer) row(id home.DeviceID, s sight, leftOut map[string]bool) (row Row, ok bool) {
	d, ok := r.o.Roster.Device(id)
	switch {
	case ok && d.ID == id:
		s.device = d
	case ok && s.bound: // see task
		s.alias = d.ID
	case !s.bound:
		return row, false // it has another ID now, or none
	}
	s.device.ID, s.started = id, r.started
	s.spoken = r.o.Drivers[s.device.Protocol] != nil
	if s.bound {
		s.movedBy = r.o.Turn(id).Hub
	}
	for _, k := range s.device.HardwareKeys() {
		s.leftOut = s.leftOut || !s.bound && leftOut[k]
	}
	return s.show(), true
}

// Stored returns the account and the bound devices of a ledger that no engine works with, as they were last known.
func Stored(ledger interface{ House() (home.House, error) }) (home.Account, []Row, error) {
	h, err := ledger.House()
	if err != nil {
		return home.Account{}, nil, err
	}
	var rows []Row
	for _, s := range stored(h) {
		rows = append(rows, s.show())
	}
	sortRows(rows)
	return h.Account, rows, nil
}

// stored returns what the ledger has of the bound devices.
func stored(h home.House) map[home.DeviceID]sight {
	sights := make(map[home.DeviceID]sight, len(h.Bindings))
	for _, b := range h.Bindings {
		sights[b.Device] = sight{
			account: h.Account,
			binding: b,
			bound:   true,
			device:  home.Device{ID: b.Device},
			memory:  memory{match: home.Unknown},
		}
	}
	for _, d := range h.Devices {
		if s, ok := sights[d.ID]; ok {
			s.device = d
			sights[d.ID] = s
		}
	}
	return sights
}

// keySet returns the keys as a set.
func keySet(keys []string) map[string]bool {
	set := make(map[string]bool, len(keys))
	for _, k := range keys {
		set[k] = true
	}
	return set
}

// allowIt is the hint for a device that needs the owner's consent to passwords in the clear; name is as it is typed in
// a command line.
func allowIt(name string) string { return "allow it with: rekeyd bind --allow-cleartext-bind " + name }
