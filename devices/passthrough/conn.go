// Package passthrough is the transport of older SMART devices: a handshake in which the device encrypts a session key
// for this side, and JSON requests over HTTP under that key. Facts and sources: devices/PROTOCOLS.md, section 8. It was
// never tried on a device.
//
// The device proves nothing: whatever has its address receives what Login sends. The caller releases the password
// (keyring.Recipient) and limits the number of sign-ins.
package passthrough

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/post"
)

// ErrEnded means that the session has ended: another handshake is needed.
var ErrEnded = fmt.Errorf("the session has ended: %w", failure.ErrTryLater)

// Answers to a sign-in.
var (
	ErrWrong = errors.New("it does not take the credential")
	ErrForm  = errors.New("it does not understand this form of the sign-in")
)

// codes has the codes of the transport. All others are results of the inner command.
var codes = map[int]error{
	1003: failure.ErrReclassified, 9999: ErrEnded,
	-1010: failure.ErrTryLater, 1002: failure.ErrTryLater, 1112: failure.ErrTryLater, -1001: failure.ErrTryLater,
}

// again reports whether the same request can succeed at once.
func again(err error) bool { return errors.Is(err, failure.ErrTryLater) && !errors.Is(err, ErrEnded) }

// Conn is a conversation with one device. It is for one goroutine.
type Conn struct {
	http   *post.Client
	key    *rsa.PrivateKey
	cipher *sessionCipher // nil before a handshake
	cookie string
	token  string // empty before a sign-in
}

// New returns a Conn to the device at addr. It connects with the first request. The key has 1024 bits: see NewKey.
func New(addr netip.AddrPort, key *rsa.PrivateKey, o post.Options) *Conn {
	return &Conn{http: post.New(addr, o), key: key}
}

// Close ends the conversation.
func (c *Conn) Close() { c.http.Close() }

// Handshake has the device encrypt a session key for this side. It discloses nothing. All errors are
// home.ErrUnreachable, with one of package failure where the device has answered.
func (c *Conn) Handshake(ctx context.Context) error {
	err := c.handshakeOnce(ctx)
	if again(err) {
		err = c.handshakeOnce(ctx)
	}
	return err
}

// handshakeOnce begins a new session. Whatever was there before is forgotten, because the device forgets it, too.
func (c *Conn) handshakeOnce(ctx context.Context) error {
	c.cipher, c.cookie, c.token = nil, "", ""
	// The base64 of the PEM text is one line: devices expect a request of 314 bytes.
	pem := "-----BEGIN PUBLIC KEY-----\n" + publicText(c.key) + "\n-----END PUBLIC KEY-----\n"
	raw, err := encodeRequest("handshake", map[string]string{"key": pem})
	if err != nil {
		return err
	}
	a, err := c.send(ctx, raw)
	if err != nil {
		return err
	}
	s, err := openSessionKey(c.key, a.result.Key)
	if err != nil {
		return failure.Unreachable(err)
	}
	c.cipher, c.cookie = s, post.SessionCookie(a.header)
	return nil
}

// Exchange sends one request and returns its answer, both in clear text. A request that the device could not run just
// now is repeated once. Errors are home.ErrUnreachable, with ErrEnded where the device requires another handshake.
func (c *Conn) Exchange(ctx context.Context, request []byte) ([]byte, error) {
	raw, err := c.exchangeOnce(ctx, request)
	if again(err) {
		raw, err = c.exchangeOnce(ctx, request)
	}
	return raw, err
}

// exchangeOnce sends one request under the session key. The inner code of the transport decides here, that of the
// command is the caller's.
func (c *Conn) exchangeOnce(ctx context.Context, request []byte) ([]byte, error) {
	if c.cipher == nil {
		return nil, failure.Unreachable(ErrEnded)
	}
	raw, err := encodeRequest("securePassthrough", map[string][]byte{"request": c.cipher.encrypt(request)})
	if err != nil {
		return nil, err
	}
	a, err := c.send(ctx, raw)
	if err != nil {
		return nil, err
	}
	plain, err := c.cipher.decrypt(a.result.Response)
	if err != nil {
		return nil, failure.Unreachable(err)
	}
	var inner struct {
		Code *int `json:"error_code"`
	}
	if json.Unmarshal(plain, &inner) != nil || inner.Code == nil {
		return nil, failure.Unreachable(failure.ErrProtocol)
	}
	if err := codes[*inner.Code]; err != nil {
		return nil, failure.Unreachable(err)
	}
	return plain, nil
}

// answer is an answer of a device, as far as it is read.
type answer struct {
	header http.Header
	result struct {
		Key      []byte `json:"key"`
		Response []byte `json:"response"`
		Token    string `json:"token"`
	}
}

// send sends one request and reads the envelope of its answer.
func (c *Conn) send(ctx context.Context, raw []byte) (answer, error) {
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}
	if c.cookie != "" {
		h.Set("Cookie", "TP_SESSIONID="+c.cookie)
	}
	path := "/app"
	if c.token != "" {
		path += "?token=" + c.token
	}
	got, err := c.http.Send(ctx, path, h, raw)
	if err != nil {
		return answer{}, err
	}
	return parseAnswer(got)
}

// parseAnswer reads the envelope. The body of a status other than 200 is not read: an error would quote a stranger.
func parseAnswer(got post.Answer) (answer, error) {
	a := answer{header: got.Header}
	var outer struct {
		Code   *int            `json:"error_code"`
		Result json.RawMessage `json:"result"`
	}
	switch {
	case got.Status == http.StatusForbidden:
		return a, failure.Unreachable(failure.ErrThirdParty)
	case got.Status != http.StatusOK, json.Unmarshal(got.Body, &outer) != nil, outer.Code == nil:
		return a, failure.Unreachable(failure.ErrProtocol)
	case codes[*outer.Code] != nil:
		return a, failure.Unreachable(codes[*outer.Code])
	case *outer.Code != 0:
		return a, failure.Unreachable(fmt.Errorf("%w: code %d", failure.ErrProtocol, *outer.Code))
	case json.Unmarshal(outer.Result, &a.result) != nil:
		return a, failure.Unreachable(failure.ErrProtocol)
	}
	return a, nil
}

// encodeRequest returns the JSON of a request. Its error names the method alone: the parameters can have a password in
// them.
func encodeRequest(method string, params any) ([]byte, error) {
	raw, err := json.Marshal(struct {
		Method string `json:"method"`
		Params any    `json:"params"`
	}{method, params})
	if err != nil {
		return nil, fmt.Errorf("%s: the request cannot be encoded", method)
	}
	return raw, nil
}
