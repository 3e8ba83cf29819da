package api

import (
	"encoding/json"
	"errors"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// owner answers what only a signed-in owner may ask.
func (c *call) owner(method string) (result, error) {
	o, err := c.s.Owner(c.token)
	if err != nil {
		return nil, err
	}
	switch method {
	case "getDeviceList":
		ds, err := o.Devices()
		return result{"deviceList": deviceList(ds, o.Door(), c.s.BaseURL())}, err
	case "passthrough":
		return c.passthrough(o)
	case "createPairing":
		return c.createPairing(o)
	case "listHubs":
		hs, err := o.Hubs()
		return result{"hubs": hs}, err
	case "getHistory":
		es, err := o.History()
		return result{"events": events(es)}, err
	case "logoutAll":
		return nil, o.EndAll()
	case "removeHub":
		return c.removeHub(o)
	}
	return c.unbindDevice(o)
}

// createPairing approves a hub, which receives every later password: a token alone is not enough for that.
func (c *call) createPairing(o *account.Owner) (result, error) {
	var p struct{ Password *string }
	if err := c.read(&p); err != nil {
		return nil, err
	}
	if p.Password != nil {
		return approved(o.Pair(c.ctx, *p.Password, c.from))
	}
	return approved(o.PairFresh())
}

func approved(word interface{ Reveal() string }, err error) (result, error) {
	if err != nil {
		return nil, err
	}
	return result{"pairing": word.Reveal()}, nil
}

// removeHub ends the membership of a hub, with that of the devices it has bound.
func (c *call) removeHub(o *account.Owner) (result, error) {
	var p struct{ Hub string }
	if err := c.read(&p, "hub"); err != nil {
		return nil, err
	}
	err := o.RemoveHub(p.Hub)
	if errors.Is(err, home.ErrNotFound) {
		err = account.Refused(v1.NotBound, "No such hub in this account")
	}
	return nil, err
}

var errNotBound = account.Refused(v1.NotBound, "The device is not bound to this account")

// unbindDevice removes a device from the account. The device itself keeps its password: only its hub could change that.
func (c *call) unbindDevice(o *account.Owner) (result, error) {
	var p struct{ DeviceID string }
	if err := c.read(&p, "deviceId"); err != nil {
		return nil, err
	}
	err := o.Unbind(p.DeviceID)
	if errors.Is(err, home.ErrNotFound) {
		err = errNotBound
	}
	return nil, err
}

// passthrough relays an app's request to a device, and returns the device's answer. A device that refuses has answered.
// A request that changes the device's owner needs a fresh session: a token alone gives no device away.
func (c *call) passthrough(o *account.Owner) (result, error) {
	var p struct{ DeviceID, RequestData string }
	if err := c.read(&p, "deviceId", "requestData"); err != nil {
		return nil, err
	}
	if len(p.RequestData) > wire.MaxRelay || !json.Valid([]byte(p.RequestData)) {
		return nil, account.Refused(v1.InvalidInput, "requestData: want JSON in a string, at most 32 KiB")
	}
	id, ok, err := o.Sees(p.DeviceID)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errNotBound
	}
	if changesOwner([]byte(p.RequestData)) && !o.Fresh() {
		return nil, account.ErrNotFresh
	}
	answer, err := c.relay.Pass(c.ctx, o.Account(), id, []byte(p.RequestData))
	if err != nil {
		return nil, err
	}
	return result{"responseData": string(answer)}, nil
}

// event is a line of the history as clients read it.
type event struct {
	At     int64  `json:"at"` // Unix milliseconds
	What   string `json:"what"`
	Door   string `json:"door,omitempty"`
	Epoch  uint64 `json:"epoch,omitempty"`
	Detail string `json:"detail,omitempty"`
}

func events(es []account.Event) []event {
	out := make([]event, len(es))
	for i, e := range es {
		out[i] = event{e.At.UnixMilli(), e.What, e.Door, e.Epoch, e.Detail}
	}
	return out
}
