// Package passthrough is the transport of older SMART devices: a handshake in which the device seals a session's key for this side, and
// JSON requests over HTTP, sealed with it. Facts, with their sources: devices/PROTOCOLS.md, section 8. Nothing of it was ever tried on a device.
//
// The device proves nothing: whoever has its address is told what Login is given. The caller sees to it that the owner has agreed, and that
// no device is asked more often than is good for it.
package passthrough

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/post"
)

// What a device can say instead of an answer.
var (
	ErrForbidden = errors.New("it takes no orders of third parties")             // 403
	ErrOther     = errors.New("it does not speak its protocol")                  // 404, or what is no answer of this protocol
	ErrMoved     = errors.New("its firmware speaks another protocol now")        // 1003
	ErrEnded     = errors.New("the session has ended")                           // 9999: shake hands anew
	ErrAgain     = errors.New("it could not do it just now")                     // -1010, 1002, 1112, -1001
	ErrWrong     = errors.New("it does not take the credential")                 // -1501
	ErrForm      = errors.New("it does not understand this form of the sign-in") // -1008; that this is its answer is a guess
)

// codes are what the numbers mean. Others are the inner command's own.
var codes = map[int]error{
	1003: ErrMoved, 9999: ErrEnded, -1010: ErrAgain, 1002: ErrAgain, 1112: ErrAgain, -1001: ErrAgain,
}

// Line is a conversation with one device. It is for one goroutine.
type Line struct {
	post   *post.Client
	key    *rsa.PrivateKey
	seal   *seal // nil before a handshake
	cookie string
	token  string // empty before a login
}

// Open begins a conversation. It connects when something is said. The key is of 1024 bits: see NewKey.
func Open(at netip.AddrPort, key *rsa.PrivateKey, o post.Options) *Line {
	return &Line{post: post.New(at, o), key: key}
}

// Close ends the conversation.
func (l *Line) Close() { l.post.Close() }

// Shake has the device seal a session's key for this side. It tells the device nothing. All errors are home.ErrUnreachable, and one of
// this package inside where the device has answered.
func (l *Line) Shake(ctx context.Context) error {
	err := l.shake(ctx)
	if errors.Is(err, ErrAgain) {
		err = l.shake(ctx)
	}
	return err
}

func (l *Line) shake(ctx context.Context) error {
	l.seal, l.cookie, l.token = nil, "", ""
	// The PEM of it has its base64 in one line: devices expect a request of 314 bytes.
	raw, err := say("handshake", map[string]string{"key": "-----BEGIN PUBLIC KEY-----\n" + publicText(l.key) + "\n-----END PUBLIC KEY-----\n"})
	if err != nil {
		return err
	}
	a, err := l.send(ctx, raw)
	if err != nil {
		return err
	}
	s, err := openSeal(l.key, a.result.Key)
	if err != nil {
		return lost(err)
	}
	l.seal, l.cookie = s, post.SessionCookie(a.header)
	return nil
}

// Ask sends one request and returns its answer, both in the clear. What the device could not do just now it is asked once more. Errors
// are home.ErrUnreachable, with ErrEnded inside where it wants another handshake.
func (l *Line) Ask(ctx context.Context, request []byte) ([]byte, error) {
	raw, err := l.once(ctx, request)
	if errors.Is(err, ErrAgain) {
		raw, err = l.once(ctx, request)
	}
	return raw, err
}

// once asks once.
func (l *Line) once(ctx context.Context, request []byte) ([]byte, error) {
	if l.seal == nil {
		return nil, lost(ErrEnded)
	}
	raw, err := say("securePassthrough", map[string][]byte{"request": l.seal.encrypt(request)})
	if err != nil {
		return nil, err
	}
	a, err := l.send(ctx, raw)
	if err != nil {
		return nil, err
	}
	plain, err := l.seal.decrypt(a.result.Response)
	if err != nil {
		return nil, lost(err)
	}
	var inner struct {
		Code *int `json:"error_code"`
	}
	if json.Unmarshal(plain, &inner) != nil || inner.Code == nil {
		return nil, lost(ErrOther)
	}
	if err := codes[*inner.Code]; err != nil {
		return nil, lost(err)
	}
	return plain, nil
}

// answer is what a device says, as far as it is read.
type answer struct {
	header http.Header
	result struct {
		Key      []byte `json:"key"`
		Response []byte `json:"response"`
		Token    string `json:"token"`
	}
}

// send sends one request and reads the envelope of its answer.
func (l *Line) send(ctx context.Context, raw []byte) (answer, error) {
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}
	if l.cookie != "" {
		h.Set("Cookie", "TP_SESSIONID="+l.cookie)
	}
	path := "/app"
	if l.token != "" {
		path += "?token=" + l.token
	}
	got, err := l.post.Send(ctx, path, h, raw)
	if err != nil {
		return answer{}, err
	}
	return parse(got)
}

func parse(got post.Answer) (answer, error) {
	a := answer{header: got.Header}
	var outer struct {
		Code   *int            `json:"error_code"`
		Result json.RawMessage `json:"result"`
	}
	switch {
	case got.Status == http.StatusForbidden:
		return a, lost(ErrForbidden)
	case got.Status != http.StatusOK, json.Unmarshal(got.Body, &outer) != nil, outer.Code == nil:
		return a, lost(ErrOther)
	case codes[*outer.Code] != nil:
		return a, lost(codes[*outer.Code])
	case *outer.Code != 0:
		return a, lost(fmt.Errorf("%w: code %d", ErrOther, *outer.Code))
	case json.Unmarshal(outer.Result, &a.result) != nil:
		return a, lost(ErrOther)
	}
	return a, nil
}

// say writes a request.
func say(method string, params any) ([]byte, error) {
	raw, err := json.Marshal(struct {
		Method string `json:"method"`
		Params any    `json:"params"`
	}{method, params})
	if err != nil {
		return nil, fmt.Errorf("%s: a request that cannot be written", method)
	}
	return raw, nil
}

func lost(err error) error { return fmt.Errorf("%w: %w", home.ErrUnreachable, err) }
