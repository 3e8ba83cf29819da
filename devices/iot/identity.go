package iot

import (
	"encoding/json"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/nameplate"
)

// The cloud modules of plugs and switches, and of bulbs.
const (
	plugCloud = "cnCloud"
	bulbCloud = "smartlife.iot.common.cloud"
)

// identityRequest asks a device for its identity and its owner, in one message.
const identityRequest = `{"system":{"get_sysinfo":{}},` +
	`"` + plugCloud + `":{"get_info":{}},"` + bulbCloud + `":{"get_info":{}}}`

// reply is an answer: a value for each module of the request.
type reply map[string]json.RawMessage

func parseReply(raw []byte) (reply, error) {
	var r reply
	if json.Unmarshal(raw, &r) != nil || len(r) == 0 {
		return nil, failure.ErrProtocol
	}
	return r, nil
}

// result is the result of a method: a code, 0 for success, and the device's message.
type result struct {
	Code int
	Msg  string
}

// result reads the answer of a method into `into` (where it is not nil) and returns the code: that of the method, or
// that of the module where the device does not have the method.
func (r reply) result(module, method string, into any) (result, error) {
	raw, ok := r[module]
	if !ok {
		return result{}, failure.ErrProtocol
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return result{}, failure.ErrProtocol
	}
	of, ok := m[method]
	if !ok {
		of = raw
	}
	var status struct {
		Code *int            `json:"err_code"`
		Msg  json.RawMessage `json:"err_msg"`
	}
	if json.Unmarshal(of, &status) != nil || status.Code == nil || !ok && *status.Code == 0 {
		return result{}, failure.ErrProtocol
	}
	if *status.Code == 0 && into != nil && json.Unmarshal(of, into) != nil {
		return result{}, failure.ErrProtocol
	}
	res := result{Code: *status.Code}
	_ = json.Unmarshal(status.Msg, &res.Msg) // a message of another type is no message
	return res, nil
}

// identity is a device's statement about itself.
type identity struct {
	nameplate.Plate
	module string // of the cloud
	cloud  *cloud // nil where the device has no such module
}

// cloud is a device's statement about its account.
type cloud struct {
	username  string
	binded    int
	connected int // 1 while the device has a session with its cloud, else 0; -1 was seen, too
}

// parseIdentity reads the answer to identityRequest.
func parseIdentity(raw []byte) (identity, error) {
	r, err := parseReply(raw)
	if err != nil {
		return identity{}, err
	}
	return r.identity()
}

// identity returns the device's statement about itself, as far as its modules were in the request.
func (r reply) identity() (identity, error) {
	var i nameplate.Sysinfo
	if res, err := r.result("system", "get_sysinfo", &i); err != nil || res.Code != 0 {
		return identity{}, failure.ErrProtocol
	}
	id := identity{Plate: i.Plate()}
	if len(id.Keys) == 0 {
		return identity{}, failure.ErrProtocol
	}
	// Where a device answers in both modules, as one light strip does, its binding is in that of the bulbs.
	for _, module := range []string{bulbCloud, plugCloud} {
		var info struct {
			Username  string `json:"username"`
			Binded    *int   `json:"binded"`
			Connected int    `json:"cld_connection"`
		}
		if _, asked := r[module]; !asked {
			continue
		}
		res, err := r.result(module, "get_info", &info)
		if err != nil {
			return identity{}, err
		}
		if res.Code == 0 && info.Binded != nil {
			id.module, id.cloud = module, &cloud{info.Username, *info.Binded, info.Connected}
			break
		}
	}
	return id, nil
}

// check returns failure.ErrOtherDevice where i is the identity of another device than d.
func (i identity) check(d home.Device) error {
	if !i.Names(d) {
		return failure.Unreachable(failure.ErrOtherDevice)
	}
	return nil
}

// owner returns whose device it is, as it states. binded is to be believed; a username without it is not, since it can
// stay behind after a reset.
func (i identity) owner(email string) home.Match {
	switch {
	case i.cloud == nil:
		return home.Unknown
	case i.cloud.binded == 0:
		return home.Unbound
	case email == "":
		return home.Unknown
	case strings.EqualFold(i.cloud.username, email):
		return home.Ours
	}
	return home.Foreign
}
