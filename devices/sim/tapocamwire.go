package sim

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Codes of devices/PROTOCOLS.md, section 10.
const (
	camUnauthorized = -40401
	camBlocked      = -40404
	camChallenge    = -40413
	camOldPassword  = -60506
	camBadFormat    = -40210
	camMissing      = -40211
)

// ServeHTTP answers sign-ins at / and requests of a session at /stok=…/ds.
func (d *tapocam) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	d.spec.opened.add(raw)
	var answer any
	if stok, ok := strings.CutPrefix(r.URL.Path, "/stok="); ok {
		answer = d.secure(strings.TrimSuffix(stok, "/ds"), r.Header, raw)
	} else {
		answer = d.login(raw)
	}
	out := encode(answer)
	if d.spec.has(Garbled) {
		out = out[:len(out)/2]
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	_, _ = w.Write(out)
}

func camReply(code int, data map[string]any) map[string]any {
	if data == nil {
		return map[string]any{"error_code": code}
	}
	data["code"] = code
	return map[string]any{"error_code": code, "result": map[string]any{"data": data}}
}

func upperSHA(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "")))
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

func upperMD5(s string) string {
	sum := md5.Sum([]byte(s))
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// made is a password as this camera keeps it.
func (d *tapocam) made(p home.Secret) camPassword { return camPassword{d.hash(p), p} }

// hash is the hash of a password in this firmware.
func (d *tapocam) hash(p home.Secret) string {
	if d.spec.has(MD5) || d.spec.has(Hashed) {
		return upperMD5(p.Reveal())
	}
	return upperSHA(p.Reveal())
}

// camLogin is every step of a sign-in: the fields that are there give the step.
type camLogin struct {
	Method string
	Params struct {
		Username, Cnonce, Password string
		Hashed                     bool
		Digest                     string `json:"digest_passwd"`
	}
}

// login answers a sign-in: the older form with a hash, or the two steps with a nonce. A locked camera answers how long
// it stays locked.
func (d *tapocam) login(raw []byte) any {
	var q camLogin
	if json.Unmarshal(raw, &q) != nil || q.Method != "login" {
		return camReply(camBadFormat, nil)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if left := d.guard.left(); left > 0 {
		return camReply(camBlocked, map[string]any{"sec_left": int(math.Ceil(left.Seconds()))})
	}
	counter := map[string]any{"time": d.guard.row, "max_time": d.guard.limit}
	switch p := q.Params; {
	case d.spec.has(Hashed):
		switch {
		case !p.Hashed: // it knows no challenge; that it does not count this is a guess
			return camReply(camUnauthorized, counter)
		case p.Username != "admin" || p.Password != d.holding():
			return d.wrong()
		}
		return d.in(&camSession{plain: true})
	case p.Username != "admin" || p.Hashed:
		return d.wrong()
	case p.Digest == "":
		return d.challenge(p.Cnonce, counter)
	default:
		c, begun := d.dares[p.Cnonce]
		delete(d.dares, p.Cnonce)
		if !begun || p.Digest != upperSHA(c.hash, p.Cnonce, c.nonce)+p.Cnonce+c.nonce {
			return d.wrong()
		}
		return d.in(&camSession{hash: c.hash, cnonce: p.Cnonce, nonce: c.nonce})
	}
}

// holding is the hash of the camera's password for this sign-in.
func (d *tapocam) holding() string {
	d.asked++
	if d.before.hash != "" {
		if d.since++; d.since >= 3 {
			d.password, d.before = d.before, camPassword{}
		}
	}
	if d.spec.has(Flapping) && d.asked%2 == 0 {
		return d.hash(home.NewSecret(factoryAdmin))
	}
	return d.password.hash
}

// challenge proves the camera's password before the other side proves anything.
func (d *tapocam) challenge(cnonce string, data map[string]any) any {
	data["encrypt_type"] = []string{"3"}
	if d.spec.has(ThirdPartyOff) {
		data["encrypt_type"] = []string{"4"}
		return camReply(camUnauthorized, data)
	}
	if len(cnonce) != 16 {
		return camReply(camMissing, nil)
	}
	if len(d.dares) > 100 {
		clear(d.dares)
	}
	nonce := strings.ToUpper(hex.EncodeToString(randomBytes(8)))
	h := d.holding()
	d.dares[cnonce] = dare{nonce, h}
	data["nonce"], data["device_confirm"] = nonce, upperSHA(cnonce, h, nonce)+nonce+cnonce
	data["key"] = base64.StdEncoding.EncodeToString([]byte("not used by anybody here"))
	data["code"] = camUnauthorized
	return map[string]any{"error_code": camChallenge, "result": map[string]any{"data": data}}
}

func (d *tapocam) wrong() any {
	d.guard.fail()
	if left := d.guard.left(); left > 0 {
		return camReply(camBlocked, map[string]any{"sec_left": int(math.Ceil(left.Seconds()))})
	}
	return camReply(camUnauthorized, map[string]any{"time": d.guard.row, "max_time": d.guard.limit})
}

func (d *tapocam) in(s *camSession) any {
	d.guard.pass()
	if len(d.sessions) > 100 {
		clear(d.sessions)
	}
	stok := hex.EncodeToString(randomBytes(16))
	s.seq = 1 + int(randomBytes(1)[0])
	d.sessions[stok] = s
	if s.plain {
		return map[string]any{"error_code": 0, "result": map[string]any{"stok": stok, "user_group": "root"}}
	}
	return map[string]any{
		"error_code": 0,
		"result":     map[string]any{"stok": stok, "start_seq": s.seq, "user_group": "root"},
	}
}

// randomBytes are made by the system's source, which never fails.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// camCall is one request of a session.
type camCall struct {
	Method string
	Params json.RawMessage
}

// secure answers one who is signed in.
func (d *tapocam) secure(stok string, h http.Header, raw []byte) any {
	d.mu.Lock()
	s := d.sessions[stok]
	var seq int
	if s != nil {
		seq = s.seq
		s.seq++
	}
	d.mu.Unlock()
	var q camCall
	switch {
	case s == nil, json.Unmarshal(raw, &q) != nil:
		return camReply(camUnauthorized, nil)
	case s.plain:
		return d.dispatch(q)
	}
	number := strconv.Itoa(seq)
	var p struct{ Request []byte }
	if q.Method != "securePassthrough" || h.Get("Seq") != number ||
		h.Get("Tapo_tag") != upperSHA(upperSHA(s.hash, s.cnonce), string(raw), number) ||
		json.Unmarshal(q.Params, &p) != nil {
		return camReply(camUnauthorized, nil)
	}
	plain, ok := s.open(p.Request)
	d.spec.opened.add(plain)
	// Firmware reads the first JSON value and ignores what follows: libraries that work with it pad twice (section 10.5).
	if !ok || json.NewDecoder(bytes.NewReader(plain)).Decode(&q) != nil {
		return camReply(camBadFormat, nil)
	}
	return map[string]any{"error_code": 0, "seq": seq, "result": map[string]any{"response": s.seal(encode(d.dispatch(q)))}}
}

// dispatch runs one request, or those of a multipleRequest in order.
func (d *tapocam) dispatch(q camCall) any {
	if q.Method != "multipleRequest" {
		result, code := d.run(q.Method, q.Params)
		return map[string]any{"error_code": code, "result": result}
	}
	var p struct{ Requests []camCall }
	if json.Unmarshal(q.Params, &p) != nil {
		return camReply(camBadFormat, nil)
	}
	answers := []any{}
	for _, one := range p.Requests {
		result, code := d.run(one.Method, one.Params)
		answers = append(answers, map[string]any{"method": one.Method, "error_code": code, "result": result})
	}
	return map[string]any{"error_code": 0, "result": map[string]any{"responses": answers}}
}
