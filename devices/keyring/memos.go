package keyring

import (
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Memos is the memory of a driver about each device until the process ends: which sign-in was right, which were wrong.
// It saves sign-ins and requests; nothing depends on it for safety. The zero Memos is empty. It is safe for use by
// several goroutines.
type Memos[T any] struct {
	mu  sync.Mutex // guards all
	all map[home.DeviceID]T
}

// Of returns the memo of a device, the zero T for none.
func (m *Memos[T]) Of(id home.DeviceID) T {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all[id]
}

// Set replaces the memo of a device. The zero T is as good as none.
func (m *Memos[T]) Set(id home.DeviceID, t T) { m.Update(id, func(old *T) { *old = t }) }

// Update changes the memo of a device. What f changes behind a pointer or in a map, a reader may see meanwhile.
func (m *Memos[T]) Update(id home.DeviceID, f func(*T)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[home.DeviceID]T{}
	}
	t := m.all[id]
	f(&t)
	m.all[id] = t
}
