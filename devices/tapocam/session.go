package tapocam

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/cbc"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/nameplate"
)

// deviceSession is a session with a camera after a sign-in.
type deviceSession struct {
	c      *conn
	stok   string
	seq    int
	cipher *sessionCipher // nil with firmware that encrypts nothing
}

// forget drops the token and the keys. The camera is not informed: no way to sign out is known.
func (s *deviceSession) forget() { s.stok, s.cipher = "", nil }

// sessionCipher encrypts and signs the requests of one device session.
type sessionCipher struct {
	key, iv [16]byte
	tag     string
}

func (c *sessionCipher) encrypt(plain []byte) []byte { return cbc.Seal(c.key[:], c.iv[:], plain) }

func (c *sessionCipher) decrypt(sealed []byte) ([]byte, error) {
	plain, ok := cbc.Open(c.key[:], c.iv[:], sealed)
	if !ok {
		return nil, failure.ErrProtocol
	}
	return plain, nil
}

// sign returns the tag of a body that is the seq-th of the session.
func (c *sessionCipher) sign(body string, seq int) string {
	return upperSHA256(c.tag, body, strconv.Itoa(seq))
}

// call runs one method, in the envelope in which the vendor's clients send all of them. It returns the result and its
// code.
func (s *deviceSession) call(ctx context.Context, method string, params any) (json.RawMessage, int, error) {
	type request struct {
		Method string `json:"method"`
		Params any    `json:"params"`
	}
	inner := map[string]any{"requests": []request{{method, params}}}
	raw, err := json.Marshal(request{"multipleRequest", inner})
	if err != nil {
		return nil, 0, errors.New(method + ": the request cannot be encoded")
	}
	if raw, err = s.exchange(ctx, raw); err != nil {
		return nil, 0, err
	}
	var got struct {
		Code   *int `json:"error_code"`
		Result struct {
			Responses []struct {
				Code   *int            `json:"error_code"`
				Result json.RawMessage `json:"result"`
			} `json:"responses"`
		} `json:"result"`
	}
	switch {
	case json.Unmarshal(raw, &got) != nil || got.Code == nil:
		return nil, 0, failure.ErrProtocol
	case *got.Code != 0:
		return nil, *got.Code, nil
	case len(got.Result.Responses) != 1 || got.Result.Responses[0].Code == nil:
		return nil, 0, failure.ErrProtocol
	}
	r := got.Result.Responses[0]
	return r.Result, *r.Code, nil
}

// exchange sends one request and returns the answer, both in clear text.
func (s *deviceSession) exchange(ctx context.Context, request []byte) ([]byte, error) {
	h, path := header(), "/stok="+s.stok+"/ds"
	if s.cipher == nil {
		a, err := s.c.http.Send(ctx, path, h, request)
		if err != nil {
			return nil, err
		}
		return a.Body, nil
	}
	sealed := map[string]any{"request": s.cipher.encrypt(request)}
	raw, err := json.Marshal(map[string]any{"method": "securePassthrough", "params": sealed})
	if err != nil {
		return nil, errors.New("securePassthrough: the request cannot be encoded")
	}
	h.Set("Seq", strconv.Itoa(s.seq))
	h.Set("Tapo_tag", s.cipher.sign(string(raw), s.seq))
	s.seq++
	a, err := s.c.http.Send(ctx, path, h, raw)
	if err != nil {
		return nil, err
	}
	b, err := parseBody(a)
	switch {
	case err != nil:
		return nil, err
	case *b.Code != 0:
		return nil, failure.ErrProtocol
	}
	return s.cipher.decrypt(b.Result.Response)
}

// identify asks the camera for its nameplate. It returns failure.ErrOtherDevice where another device than the camera
// answers.
func (s *deviceSession) identify(ctx context.Context) (nameplate.Plate, error) {
	params := map[string]any{"device_info": map[string]any{"name": []string{"basic_info"}}}
	raw, code, err := s.call(ctx, "getDeviceInfo", params)
	if err != nil {
		return nameplate.Plate{}, err
	}
	if code != 0 {
		return nameplate.Plate{}, failure.ErrProtocol
	}
	p, err := parsePlate(raw)
	if err == nil && !p.Names(s.c.dev) {
		err = failure.ErrOtherDevice
	}
	return p, err
}

// parsePlate reads the answer to getDeviceInfo, in the two forms in which firmware gives it.
func parsePlate(raw []byte) (nameplate.Plate, error) {
	type info struct {
		MAC   string `json:"mac"`
		Type  string `json:"device_type"`
		Model string `json:"device_model"`
		Alias string `json:"device_alias"`
	}
	var got struct {
		Device struct {
			Basic info `json:"basic_info"` // the one or the other, by firmware
			Info  info `json:"info"`
		} `json:"device_info"`
	}
	if json.Unmarshal(raw, &got) != nil {
		return nameplate.Plate{}, failure.ErrProtocol
	}
	i := got.Device.Basic
	if i.MAC == "" {
		i = got.Device.Info
	}
	mac := nameplate.MAC(i.MAC)
	if mac == "" {
		return nameplate.Plate{}, failure.ErrProtocol
	}
	kind := home.Camera
	if strings.Contains(i.Type, "HUB") { // an H200 speaks the cameras' protocol
		kind = home.Other
	}
	return nameplate.New(mac, i.Alias, i.Model, kind), nil
}
