package keyring

import (
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Memory keeps the results of sign-ins to devices that count wrong ones, on disk: refused credentials are not sent again
// after a restart.
type Memory interface {
	// SignIns returns the zero value for a device of which nothing is kept.
	SignIns(home.DeviceID) (home.SignIns, error)
	SaveSignIns(home.DeviceID, home.SignIns) error
}

// Transient is a Memory that lasts as long as the process. The zero value is ready for use.
type Transient struct {
	mu   sync.Mutex // guards kept
	kept map[home.DeviceID]home.SignIns
}

// SignIns implements Memory.
func (t *Transient) SignIns(id home.DeviceID) (home.SignIns, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.kept[id], nil
}

// SaveSignIns implements Memory.
func (t *Transient) SaveSignIns(id home.DeviceID, s home.SignIns) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept == nil {
		t.kept = map[home.DeviceID]home.SignIns{}
	}
	t.kept[id] = s
	return nil
}
