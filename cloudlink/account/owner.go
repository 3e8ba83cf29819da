package account

import (
	"encoding/json"
	"errors"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// owner answers what only a signed-in owner may ask.
func (c *call) owner(method string) (result, error) {
	a, sess, err := c.s.session(c.token, false)
	if errors.Is(err, errSession) {
		return nil, refused(v1.TokenExpired, "Token expired")
	}
	if err != nil {
		return nil, err
	}
	switch method {
	case "getDeviceList":
		return result{"deviceList": c.s.deviceList(a, sess.Door)}, nil
	case "passthrough":
		return c.passthrough(a, sess.Door)
	case "createPairing":
		p, err := c.s.pair(a, home.Secret{})
		if err != nil {
			return nil, err
		}
		return result{"pairing": p.Reveal()}, nil
	case "listHubs":
		return result{"hubs": c.s.hubs(a.ID)}, nil
	case "getHistory":
		es, err := c.s.history(a.ID)
		return result{"events": es}, err
	case "logoutAll":
		return nil, c.s.logoutAll(a.ID, sess.Door)
	case "removeHub":
		var p struct{ Hub string }
		if err := c.read(&p, "hub"); err != nil {
			return nil, err
		}
		err := c.s.removeHub(a.ID, p.Hub)
		if errors.Is(err, home.ErrNotFound) {
			err = refused(v1.NotBound, "No such hub in this account")
		}
		return nil, err
	}
	var p struct{ DeviceID string } // unbindDevice
	if err := c.read(&p, "deviceId"); err != nil {
		return nil, err
	}
	p.DeviceID = strings.ToLower(p.DeviceID)
	if !c.s.sees(a.ID, sess.Door, p.DeviceID) {
		return nil, refused(v1.NotBound, "The device is not bound to this account")
	}
	out, err := c.s.unbind(a.ID, []string{p.DeviceID}, func(do func(tx *bbolt.Tx) error) error { return c.s.st.Update(do) })
	if err == nil && len(out) > 0 {
		err = refused(v1.NotBound, "The device is not bound to this account")
	}
	return nil, err
}

func (s *Service) ownerOf(id string) (string, bool) {
	s.dir.mu.RLock()
	defer s.dir.mu.RUnlock()
	if d, ok := s.dir.devices[strings.ToLower(id)]; ok {
		return d.Account, true
	}
	return "", false
}

// history returns an account's history, newest first.
func (s *Service) history(id string) ([]Event, error) {
	es := []Event{}
	err := s.st.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bktHistory).Cursor()
		prefix := id + "/"
		for k, v := c.Seek([]byte(prefix)); k != nil && strings.HasPrefix(string(k), prefix); k, v = c.Next() {
			var e Event
			if err := json.Unmarshal(v, &e); err != nil {
				return home.ErrCorrupt
			}
			es = append([]Event{e}, es...)
		}
		return nil
	})
	return es, err
}
