package sim

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/tpap/record"
	"github.com/rekeyd/rekeyd/devices/tpap/spake2"
)

// Codes of devices/PROTOCOLS.md, section 11.6.
const (
	camBadShape  = -40209
	tpapBadToken = -40421
	plugWrong    = -2203
	plugBadToken = -2402
)

const (
	tpapSessions = 16              // that a device keeps
	restTime     = 2 * time.Second // that a C200 needs after a session
)

func (d *tpap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	d.spec.opened.add(raw)
	if stok, ok := strings.CutPrefix(r.RequestURI, "/stok="); ok { // as it was sent: a device does not undo percent signs
		if out := d.session(r.Context(), strings.TrimSuffix(stok, "/ds"), raw); out != nil {
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = w.Write(out)
			return
		}
		d.reply(w, map[string]any{"error_code": d.code(tpapBadToken, plugBadToken)})
		return
	}
	if r.RequestURI != "/" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	d.reply(w, d.login(raw))
}

func (d *tpap) reply(w http.ResponseWriter, answer any) {
	out := encode(answer)
	if d.spec.has(Garbled) {
		out = out[:len(out)/2]
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	_, _ = w.Write(out)
}

// code is the camera's where the device is one.
func (d *tpap) code(camera, plug int) int {
	if d.spec.Kind == home.Camera {
		return camera
	}
	return plug
}

// tpapLogin is the request of every step of a sign-in.
type tpapLogin struct {
	Method string
	Params struct {
		Step       string   `json:"sub_method"`
		Username   string   `json:"username"`
		Random     []byte   `json:"user_random"`
		Suites     []int    `json:"cipher_suites"`
		Encryption []string `json:"encryption"`
		Passcode   string   `json:"passcode_type"`
		Share      []byte   `json:"user_share"`
		Confirm    []byte   `json:"user_confirm"`
		V3         string   `json:"encrypt_type"`
	}
}

// login answers the steps of a sign-in: discover, pake_register, pake_share.
func (d *tpap) login(raw []byte) any {
	var q tpapLogin
	refused := map[string]any{"error_code": d.code(camBadShape, -1008)}
	if json.Unmarshal(raw, &q) != nil || q.Method != "login" {
		return refused
	}
	switch {
	case q.Params.V3 == "3" && d.spec.Kind == home.Camera:
		return map[string]any{"error_code": camMissing}
	case q.Params.Step == "discover" && !d.spec.has(Reticent):
		return map[string]any{"error_code": 0, "result": map[string]any{"mac": dashed(d.spec.stated(d.mac)), "tpap": d.about()}}
	case q.Params.Step == "pake_register":
		return d.register(q)
	case q.Params.Step == "pake_share":
		return d.share(q)
	}
	return refused
}

// register answers the first step of SPAKE2+ with the device's share.
func (d *tpap) register(q tpapLogin) any {
	username, _ := d.unit.holds()
	admin := md5.Sum([]byte("admin"))
	p := q.Params
	type_ := "userpw"
	if username == "" {
		type_ = "default_userpw"
	}
	if p.Username != hex.EncodeToString(admin[:]) || len(p.Random) != 32 || len(p.Suites) != 1 || p.Suites[0] != 1 ||
		len(p.Encryption) != 1 || p.Encryption[0] != "aes_128_ccm" || p.Passcode != type_ {
		return map[string]any{"error_code": d.code(camBadShape, -1008)}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	v, err := d.verify()
	if err != nil {
		return map[string]any{"error_code": -1}
	}
	deviceRandom := randomBytes(32)
	d.begun = &exchange{spake2.NewResponder(v.Verifier), spake2.Context(p.Random, deviceRandom)}
	b64 := base64.StdEncoding.EncodeToString
	result := map[string]any{
		"dev_random": b64(deviceRandom), "dev_salt": b64(v.salt), "dev_share": b64(d.begun.responder.Share()),
		"cipher_suites": 1, "iterations": d.iterations(), "encryption": "aes_128_ccm",
	}
	if d.spec.has(Suite2) {
		result["cipher_suites"] = 2
	}
	if crypt := d.extraCrypt(v.salt); crypt != nil && username != "" {
		result["extra_crypt"] = crypt
	}
	return map[string]any{"error_code": 0, "result": result}
}

// share answers the second step. A wrong proof of the client is a wrong sign-in, and counts.
func (d *tpap) share(q tpapLogin) any {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.guard.left() > 0 {
		return d.wrong()
	}
	begun := d.begun
	d.begun = nil // an exchange is good for one guess
	if begun == nil {
		return map[string]any{"error_code": d.code(camBadShape, -1008)}
	}
	keys, err := begun.responder.Finish(begun.context, q.Params.Share)
	rests := d.spec.has(Restless) && time.Since(d.ended) < restTime
	if err != nil || !keys.ProvedByUser(q.Params.Confirm) || rests {
		d.guard.fail()
		return d.wrong()
	}
	d.guard.pass()
	if len(d.sessions) >= tpapSessions {
		clear(d.sessions)
	}
	d.ended = time.Now() // a new session ends the one before, and is itself short
	random := randomBytes(20)
	stok := hex.EncodeToString(random[:16]) + "!*(~)" // characters that some devices have in it
	s := &tpapSession{cipher: record.New(keys.Shared), seq: binary.BigEndian.Uint32(random[16:]) >> 1}
	d.sessions[stok] = s
	proof := keys.Device
	if d.spec.has(Faithless) {
		proof = randomBytes(len(proof))
	}
	return map[string]any{"error_code": 0, "result": map[string]any{
		"dev_confirm": base64.StdEncoding.EncodeToString(proof), "stok": stok, "start_seq": s.seq, "expired": 3600,
	}}
}

// wrong is the answer to a wrong sign-in; d.mu is held. That a locked plug answers with the minutes is a guess.
func (d *tpap) wrong() any {
	left := d.guard.left()
	info := map[string]any{
		"failedAttempts": d.guard.row, "remainAttempts": d.guard.limit - d.guard.row,
		"lockedMinute": int(math.Ceil(left.Minutes())),
	}
	switch {
	case d.spec.Kind != home.Camera && left > 0:
		info["failedAttempts"], info["remainAttempts"] = d.guard.limit, 0
		return map[string]any{"error_code": plugWrong, "error_info": info}
	case d.spec.Kind != home.Camera:
		return map[string]any{"error_code": plugWrong, "error_info": info}
	case left > 0:
		return camReply(camBlocked, map[string]any{"sec_left": int(math.Ceil(left.Seconds()))})
	}
	return map[string]any{"error_code": camUnauthorized, "result": map[string]any{"error_info": info}}
}

// session answers a record, or returns nil for one of no session.
func (d *tpap) session(ctx context.Context, stok string, raw []byte) []byte {
	d.mu.Lock()
	s := d.sessions[stok]
	if s == nil {
		d.mu.Unlock()
		return nil
	}
	seq := s.seq
	s.seq++
	plain, err := s.cipher.Open(seq, raw)
	if err != nil {
		delete(d.sessions, stok) // a record that is refused ends the session
	}
	d.mu.Unlock()
	if err != nil {
		return nil
	}
	d.spec.opened.add(plain)
	answer := d.command(ctx, plain)
	d.mu.Lock()
	d.ended = time.Now()
	d.mu.Unlock()
	return s.cipher.Seal(seq, answer)
}
