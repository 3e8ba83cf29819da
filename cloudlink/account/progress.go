package account

import (
	"errors"
)

// Progress is how many devices of an account have signed in since its password was changed.
type Progress struct {
	Epoch    uint64
	Hubs     int
	SignedIn int // of Devices
	Devices  []DeviceInfo
}

// progress reads the progress of an account; ok is false where the store cannot.
func (s *Service) progress(account string) (p Progress, ok bool) {
	a, err := s.st.Account(account)
	if err != nil {
		return Progress{}, false
	}
	devices, err1 := s.devices(a)
	members, err2 := s.st.Members(account)
	if err := errors.Join(err1, err2); err != nil {
		s.o.Log.Error("progress not read", "account", account, "err", err)
		return Progress{}, false
	}
	p = Progress{Epoch: a.Epoch, Devices: devices}
	for _, m := range members {
		if m.IsHub() {
			p.Hubs++
		}
	}
	for _, d := range devices {
		if d.SignedIn {
			p.SignedIn++
		}
	}
	return p, true
}
