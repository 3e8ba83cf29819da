package tapocam

import (
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// session is a camera that one is signed in to.
type session struct {
	t    *talk
	stok string
	seq  int
	seal *seal // nil with firmware that seals nothing
}

// forget drops what opens the session. Cameras are told nothing: how one signs out is not known.
func (s *session) forget() { s.stok, s.seal = "", nil }

// seal is what a session is sealed with.
type seal struct {
	key, iv [16]byte
	tag     string
}

func (s *seal) encrypt(plain []byte) []byte {
	n := aes.BlockSize - len(plain)%aes.BlockSize
	out := slices.Grow(slices.Clone(plain), n)
	for range n {
		out = append(out, byte(n))
	}
	b, err := aes.NewCipher(s.key[:])
	if err != nil {
		panic("a key of 16 bytes: " + err.Error())
	}
	cipher.NewCBCEncrypter(b, s.iv[:]).CryptBlocks(out, out)
	return out
}

func (s *seal) decrypt(sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || len(sealed)%aes.BlockSize != 0 {
		return nil, errAnswer
	}
	b, err := aes.NewCipher(s.key[:])
	if err != nil {
		panic("a key of 16 bytes: " + err.Error())
	}
	out := make([]byte, len(sealed))
	cipher.NewCBCDecrypter(b, s.iv[:]).CryptBlocks(out, sealed)
	n := int(out[len(out)-1])
	if n < 1 || n > aes.BlockSize {
		return nil, errAnswer
	}
	for _, p := range out[len(out)-n:] {
		if int(p) != n {
			return nil, errAnswer
		}
	}
	return out[:len(out)-n], nil
}

// tagOf is what proves to the camera that body is of this session, and the seq-th.
func (s *seal) tagOf(body string, seq int) string {
	return upperSHA256(s.tag, body, strconv.Itoa(seq))
}

// call runs one method, in the envelope in which the vendor's clients send all of them. It returns what came, with its code.
func (s *session) call(ctx context.Context, method string, params any) (json.RawMessage, int, error) {
	type one struct {
		Method string `json:"method"`
		Params any    `json:"params"`
	}
	raw, err := json.Marshal(one{"multipleRequest", map[string]any{"requests": []one{{method, params}}}})
	if err != nil {
		return nil, 0, errAnswer
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
		return nil, 0, errAnswer
	case *got.Code != 0:
		return nil, *got.Code, nil
	case len(got.Result.Responses) != 1 || got.Result.Responses[0].Code == nil:
		return nil, 0, errAnswer
	}
	r := got.Result.Responses[0]
	return r.Result, *r.Code, nil
}

// exchange sends one request and returns what comes, both in the clear.
func (s *session) exchange(ctx context.Context, request []byte) ([]byte, error) {
	h, path := header(), "/stok="+s.stok+"/ds"
	if s.seal == nil {
		a, err := s.t.line.Send(ctx, path, h, request)
		if err != nil {
			return nil, err
		}
		return a.Body, nil
	}
	raw, err := json.Marshal(map[string]any{"method": "securePassthrough", "params": map[string]any{"request": s.seal.encrypt(request)}})
	if err != nil {
		return nil, errAnswer
	}
	h.Set("Seq", strconv.Itoa(s.seq))
	h.Set("Tapo_tag", s.seal.tagOf(string(raw), s.seq))
	s.seq++
	a, err := s.t.line.Send(ctx, path, h, raw)
	if err != nil {
		return nil, err
	}
	b, err := parseBody(a)
	switch {
	case err != nil:
		return nil, err
	case *b.Code != 0:
		return nil, errAnswer
	}
	return s.seal.decrypt(b.Result.Response)
}

// identity is who a camera says it is.
type identity struct {
	mac, model, name string
}

// who asks the camera who it is.
func (s *session) who(ctx context.Context) (identity, error) {
	raw, code, err := s.call(ctx, "getDeviceInfo", map[string]any{"device_info": map[string]any{"name": []string{"basic_info"}}})
	if err != nil {
		return identity{}, err
	}
	if code != 0 {
		return identity{}, errAnswer
	}
	return parseIdentity(raw)
}

func parseIdentity(raw []byte) (identity, error) {
	type info struct {
		MAC   string `json:"mac"`
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
		return identity{}, errAnswer
	}
	i := got.Device.Basic
	if i.MAC == "" {
		i = got.Device.Info
	}
	mac := strings.ToLower(strings.NewReplacer("-", "", ":", "").Replace(i.MAC))
	if len(mac) != 12 || strings.Trim(mac, "0123456789abcdef") != "" || mac == "000000000000" {
		return identity{}, errAnswer
	}
	return identity{mac, clean(i.Model), clean(i.Alias)}, nil
}

// is tells whether the camera is the one that was meant.
func (i identity) is(d home.Device) bool {
	if mac, ok := strings.CutPrefix(string(d.ID), "mac-"); ok {
		return mac == i.mac
	}
	return slices.Contains(d.Keys, "mac:"+i.mac)
}

func (i identity) describe(d home.Device) home.Device {
	d.Keys = slices.Clone(d.Keys)
	if k := "mac:" + i.mac; !slices.Contains(d.Keys, k) {
		d.Keys = append(d.Keys, k)
	}
	d.Name, d.Model, d.Kind = cmp.Or(i.name, d.Name), cmp.Or(i.model, d.Model), home.Camera
	return d
}

// maxText is the longest text of a camera that is kept, in bytes.
const maxText = 120

// clean makes what a camera says fit to print.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") // not half a letter
	}
	return strings.TrimSpace(s)
}
