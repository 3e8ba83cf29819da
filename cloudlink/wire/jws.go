package wire

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// use is the "typ" of a JWS header. What was signed for one use is refused for every other.
type use string

const (
	useMessage  use = "rekeyd-message"  // in an inbox or an outbox
	useEndpoint use = "rekeyd-endpoint" // between a hub and a native device on the LAN
	useNotice   use = "rekeyd-notice"
	useLogin    use = "rekeyd-login" // to the embedded broker
)

// jws is a JWS in compact serialization (RFC 7515) with Ed25519 (RFC 8037). The signature covers the bytes that travel,
// so both ends agree on them without a canonical form, and a field that a receiver does not know is signed all the
// same.
type jws struct {
	use     use
	payload []byte // decoded: a JSON object
	body    [2]int // where the member "body" of payload begins and ends; zero for none
	input   []byte // the text before the second dot, which is signed
	sig     []byte
}

// b64 refuses padding, line ends, and bits that decode to nothing: one payload has one text.
var b64 = base64.RawURLEncoding.Strict()

// signJWS returns payload, a JSON object, signed for one use.
func (id *Identity) signJWS(u use, payload []byte) []byte {
	header := []byte(`{"alg":"EdDSA","typ":"` + string(u) + `"}`)
	raw := make([]byte, 0, b64.EncodedLen(len(header)+len(payload)+ed25519.SignatureSize)+8)
	raw = b64.AppendEncode(raw, header)
	raw = b64.AppendEncode(append(raw, '.'), payload)
	sig := id.sign(raw)
	return b64.AppendEncode(append(raw, '.'), sig)
}

var errJWS = errors.New("not a JWS of this protocol")

// parseJWS reads the form of a JWS: its three parts, a header of exactly "alg" and "typ", a JSON object as payload. A
// header member such as "jwk" or "kid" would let the sender choose the key, so any other member is refused. verify
// checks the signature.
func parseJWS(raw []byte) (j jws, err error) {
	parts := bytes.Split(raw, []byte("."))
	if len(parts) != 3 {
		return jws{}, errJWS
	}
	var header []byte
	for i, to := range []*[]byte{&header, &j.payload, &j.sig} {
		*to, err = b64.AppendDecode(make([]byte, 0, b64.DecodedLen(len(parts[i]))), parts[i])
		if err != nil || bytes.IndexByte(parts[i], '\r') >= 0 || bytes.IndexByte(parts[i], '\n') >= 0 {
			return jws{}, errJWS
		}
	}
	var h map[string]string
	if checkObject(header) != nil || json.Unmarshal(header, &h) != nil ||
		len(h) != 2 || h["alg"] != "EdDSA" || h["typ"] == "" {
		return jws{}, fmt.Errorf("%w: header", errJWS)
	}
	if j.body, err = scanObject(j.payload); err != nil {
		return jws{}, fmt.Errorf("%w: payload: %w", errJWS, err)
	}
	j.use, j.input = use(h["typ"]), raw[:len(parts[0])+1+len(parts[1])]
	return j, nil
}

// verify checks the signature under a public key; it returns home.ErrForged.
func (j jws) verify(sign []byte) error {
	if len(sign) != ed25519.PublicKeySize || !ed25519.Verify(sign, j.input, j.sig) {
		return home.ErrForged
	}
	return nil
}

// maxMembers and maxDepth bound a JSON object from a stranger.
const (
	maxMembers = 64 // of one object
	maxDepth   = 16
)

// checkObject checks that raw is one JSON object whose members, at every depth, are named by a-z, 0-9 and _, each once
// in its object. Two readers of a duplicate member can see two values, and encoding/json ignores letter case in names:
// both would let one signed text mean two things.
func checkObject(raw []byte) error {
	_, err := scanObject(raw)
	return err
}

// scanObject is checkObject, and returns where the value of the object's own member "body" begins and ends.
func scanObject(raw []byte) (body [2]int, err error) {
	if !utf8.Valid(raw) || !json.Valid(raw) || bytes.TrimLeft(raw, " \t\r\n")[0] != '{' {
		return body, errors.New("not a JSON object")
	}
	open := make([][][]byte, 0, maxDepth) // the member names of each object or list that is open
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '{', '[':
			if len(open) == maxDepth {
				return body, errors.New("nested too deeply")
			}
			if open = open[:len(open)+1]; open[len(open)-1] != nil {
				open[len(open)-1] = open[len(open)-1][:0]
			}
		case '}', ']', ',':
			if len(open) == 1 && body[0] > 0 && body[1] == 0 {
				body[1] = i
			}
			if raw[i] != ',' {
				open = open[:len(open)-1]
			}
		case '"':
			end := i + 1
			for ; raw[end] != '"'; end++ {
				if raw[end] == '\\' {
					end++
				}
			}
			text := raw[i+1 : end]
			i = end
			if !beforeColon(raw[end+1:]) {
				continue // a value: in valid JSON, only a name stands before a colon
			}
			names := &open[len(open)-1]
			if !validMember(text) || len(*names) >= maxMembers {
				return body, errors.New("a member name is malformed, or there are too many")
			}
			for _, n := range *names {
				if bytes.Equal(n, text) {
					return body, errors.New("a member stands twice")
				}
			}
			*names = append(*names, text)
			if len(open) == 1 && string(text) == "body" {
				body[0] = end + 1 + bytes.IndexByte(raw[end+1:], ':') + 1
			}
		}
	}
	return body, nil
}

func beforeColon(raw []byte) bool {
	for _, c := range raw {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c == ':'
		}
	}
	return false
}

func validMember(name []byte) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return len(name) > 0 && len(name) <= 64
}
