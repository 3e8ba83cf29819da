package tpap

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/nameplate"
	"github.com/rekeyd/rekeyd/devices/tpap/record"
)

// session is a sign-in that both sides have proved. It is for one goroutine.
type session struct {
	conn   *conn
	key    keyring.Key // which the device holds
	form   form
	stok   string
	seq    uint32 // of the next request
	cipher record.Cipher
}

// end forgets the session. No message of the protocol ends one.
func (s *session) end() {
	s.stok = ""
	s.conn.d.ended.Set(s.conn.dev.ID, time.Now())
}

// call runs a command and returns its result and its code, 0 for success.
func (s *session) call(ctx context.Context, method string, params any) (json.RawMessage, int, error) {
	body, err := s.request(method, params)
	if err != nil {
		return nil, 0, err
	}
	return s.exchange(ctx, body, method)
}

// request is a command on the wire. Cameras take commands in a list only.
func (s *session) request(method string, params any) ([]byte, error) {
	type command struct {
		Method string `json:"method"`
		Params any    `json:"params,omitempty"`
	}
	c := command{method, params}
	if s.form.camera {
		c = command{"multipleRequest", map[string]any{"requests": []command{c}}}
	}
	body, err := json.Marshal(c)
	if err != nil {
		return nil, failure.ErrProtocol
	}
	return body, nil
}

// exchange sends a request, and reads the answer to the method in it.
func (s *session) exchange(ctx context.Context, request []byte, method string) (json.RawMessage, int, error) {
	seq := s.seq
	s.seq++ // also where no answer comes: no number is used twice
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	a, err := s.conn.http.Send(ctx, "/stok="+s.stok+"/ds", header, s.cipher.Seal(seq, request))
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", method, err)
	}
	if code, refused := refusal(a.Body); refused || a.Status != http.StatusOK {
		return nil, 0, fmt.Errorf("%s: code %d: %w", method, code, failure.Unreachable(failure.ErrTryLater))
	}
	answer, err := s.cipher.Open(seq, a.Body)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", method, failure.ErrProtocol)
	}
	return parseAnswer(answer, s.form.camera)
}

// refusal reports whether an answer is a refusal in clear text, which everybody on the way can write.
func refusal(body []byte) (code int, refused bool) {
	var a struct {
		Code *int `json:"error_code"`
	}
	if json.Unmarshal(body, &a) != nil || a.Code == nil {
		return 0, false
	}
	return *a.Code, true
}

// parseAnswer returns the result and the code of a command; for a camera those of the only one in the list.
func parseAnswer(raw []byte, camera bool) (json.RawMessage, int, error) {
	type answer struct {
		Code   *int            `json:"error_code"`
		Result json.RawMessage `json:"result"`
	}
	var a answer
	if json.Unmarshal(raw, &a) != nil || a.Code == nil {
		return nil, 0, failure.ErrProtocol
	}
	if !camera || *a.Code != 0 {
		return a.Result, *a.Code, nil
	}
	var list struct {
		Responses []answer `json:"responses"`
	}
	if json.Unmarshal(a.Result, &list) != nil || len(list.Responses) != 1 || list.Responses[0].Code == nil {
		return nil, 0, failure.ErrProtocol
	}
	return list.Responses[0].Result, *list.Responses[0].Code, nil
}

// identify asks the device for its nameplate. It returns failure.ErrOtherDevice where it is not the one that was
// meant: a password proves an account, not a device.
func (s *session) identify(ctx context.Context) (nameplate.Plate, error) {
	method, params, parse := "get_device_info", any(nil), parsePlug
	if s.form.camera {
		method, parse = "getDeviceInfo", parseCamera
		params = map[string]any{"device_info": map[string]any{"name": []string{"basic_info"}}}
	}
	raw, code, err := s.call(ctx, method, params)
	if err != nil {
		return nameplate.Plate{}, err
	}
	p, err := parse(raw)
	switch {
	case code != 0 || err != nil:
		return p, fmt.Errorf("%s: code %d: %w", method, code, failure.ErrProtocol)
	case !p.Names(s.conn.dev):
		return p, failure.ErrOtherDevice
	}
	return p, nil
}

// parsePlug reads the nameplate of a plug, switch or bulb: the answer to get_device_info.
func parsePlug(raw []byte) (nameplate.Plate, error) {
	var i struct{ Type, Model, Mac, Nickname string }
	if json.Unmarshal(raw, &i) != nil {
		return nameplate.Plate{}, failure.ErrProtocol
	}
	name, err := base64.StdEncoding.DecodeString(i.Nickname)
	if err != nil {
		name = nil // not in base64: no name
	}
	return plate(i.Mac, string(name), i.Model, i.Type)
}

// parseCamera reads the nameplate of a camera: the answer to getDeviceInfo, one of a multipleRequest.
func parseCamera(raw []byte) (nameplate.Plate, error) {
	var i struct {
		Info struct {
			Basic struct {
				Type  string `json:"device_type"`
				Model string `json:"device_model"`
				Alias string `json:"device_alias"`
				MAC   string `json:"mac"`
			} `json:"basic_info"`
		} `json:"device_info"`
	}
	if json.Unmarshal(raw, &i) != nil {
		return nameplate.Plate{}, failure.ErrProtocol
	}
	b := i.Info.Basic
	return plate(b.MAC, b.Alias, b.Model, b.Type)
}

// plate asks the device for its nameplate, inside the session.
func plate(mac, name, model, typ string) (nameplate.Plate, error) {
	if mac = nameplate.MAC(mac); mac == "" {
		return nameplate.Plate{}, failure.ErrProtocol
	}
	kind := home.Other
	for _, k := range []struct {
		word string
		kind home.Kind
	}{
		{"HUB", home.Other},
		{"CAMERA", home.Camera},
		{"DOORBELL", home.Camera},
		{"PLUG", home.Plug},
		{"SWITCH", home.Switch},
		{"BULB", home.Bulb},
	} {
		if strings.Contains(typ, k.word) {
			kind = k.kind
			break
		}
	}
	return nameplate.New(mac, name, model, kind), nil
}
