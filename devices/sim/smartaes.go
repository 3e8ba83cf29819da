package sim

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/cbc"
)

// securePass is the web server of a SMART device of before KLAP: devices/PROTOCOLS.md, section 8. What it answers to a
// sign-in in the form that it does not know, and while it is locked, is a guess: that a real one locks at all is one.
type securePass struct {
	defect func(Defect) bool
	holds  func() (string, home.Secret) // username and password; "" for none
	answer func(context.Context, []byte) []byte
	opened *opened

	mu       sync.Mutex // guards the fields below
	guard    guard
	sessions map[string]*passSession
	shaken   int  // handshakes
	put      bool // a busy device has postponed a request, and runs it when it is repeated
}

// passSession is one handshake, and after its login a session.
type passSession struct {
	key, iv []byte
	token   string // empty before a login
}

// Codes of devices/PROTOCOLS.md, sections 8 and 9.
const (
	passWrong   = -1501
	passParams  = -1008
	passBadKey  = -1010
	passAgain   = 1002
	passMoved   = 1003
	passTimeout = 9999
)

func smartAESDefects() []Defect {
	return []Defect{Reverting, ThirdPartyOff, OneRequest, Impostor, Garbled, Stubborn, Bare, Busy, Lv1, Coarse, Updated}
}

func (p *securePass) signIns() (wrong, locks int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.guard.wrong, p.guard.locks
}

// close ends all sessions, as when the device is switched off.
func (p *securePass) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.sessions)
}

// ServeHTTP answers the outer protocol; each defect of it stands in the order in which a real device would show it.
func (p *securePass) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	p.opened.add(body)
	var q struct {
		Method string
		Params struct {
			Key     string
			Request []byte
		}
	}
	switch {
	case err != nil || r.Method != http.MethodPost || r.URL.Path != "/app":
		w.WriteHeader(http.StatusNotFound)
		return
	case p.defect(ThirdPartyOff):
		w.WriteHeader(http.StatusForbidden)
		return
	case p.defect(Garbled):
		_, _ = io.WriteString(w, `{"error_code":0,"result":{`)
		return
	case json.Unmarshal(body, &q) != nil:
		passReply(w, -1003, nil)
		return
	case p.defect(Updated):
		passReply(w, passMoved, nil)
		return
	}
	p.mu.Lock()
	if p.put = p.defect(Busy) && !p.put; p.put {
		p.mu.Unlock()
		passReply(w, passAgain, nil)
		return
	}
	p.mu.Unlock()
	switch q.Method {
	case "handshake":
		p.handshake(w, q.Params.Key)
	case "securePassthrough":
		p.request(w, r, q.Params.Request)
	default:
		passReply(w, -1002, nil)
	}
}

// passReply writes an answer of the outer protocol, which is not encrypted.
func passReply(w http.ResponseWriter, code int, of any) { _, _ = w.Write(encode(result(code, of))) }

// handshake answers with the key and the first block of a new session, sealed to the client's RSA key.
func (p *securePass) handshake(w http.ResponseWriter, pem string) {
	text, ok := strings.CutPrefix(pem, "-----BEGIN PUBLIC KEY-----\n")
	text, ok2 := strings.CutSuffix(text, "\n-----END PUBLIC KEY-----\n")
	der, err := base64.StdEncoding.DecodeString(text)
	public, err2 := x509.ParsePKIXPublicKey(der)
	key, ok3 := public.(*rsa.PublicKey)
	if !ok || !ok2 || err != nil || err2 != nil || !ok3 || key.N.BitLen() != 1024 {
		passReply(w, passBadKey, nil)
		return
	}
	secret := randomBytes(32)
	//lint:ignore SA1019 it is what devices seal with
	sealed, err := rsa.EncryptPKCS1v15(rand.Reader, key, secret)
	if err != nil {
		passReply(w, passBadKey, nil)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sessions == nil || len(p.sessions) >= maxSessions {
		p.sessions = map[string]*passSession{}
	}
	p.shaken++
	id := hex.EncodeToString(randomBytes(16))
	p.sessions[id] = &passSession{key: secret[:16], iv: secret[16:]}
	w.Header().Set("Set-Cookie", "TP_SESSIONID="+id+";TIMEOUT=1440")
	passReply(w, 0, map[string]any{"key": sealed})
}

// request answers an encrypted request. Without the token of a login only login_device is accepted.
func (p *securePass) request(w http.ResponseWriter, r *http.Request, sealed []byte) {
	c, err := r.Cookie("TP_SESSIONID")
	p.mu.Lock()
	var s passSession
	known := false
	if err == nil && p.sessions[c.Value] != nil {
		s, known = *p.sessions[c.Value], true
	}
	p.mu.Unlock()
	plain, ok := s.open(sealed)
	if !known || !ok {
		passReply(w, passTimeout, nil)
		return
	}
	p.opened.add(plain)
	var q struct {
		Method string
		Params struct{ Username, Password, Password2 []byte }
	}
	// What is no text in base64 is another command's.
	if json.Unmarshal(plain, &q); q.Method == "login_device" {
		token, code := p.login(q.Params.Username, q.Params.Password, q.Params.Password2)
		if code == 0 {
			p.mu.Lock()
			if s := p.sessions[c.Value]; s != nil {
				s.token = token
			}
			p.mu.Unlock()
		}
		answer := map[string]any{"error_code": code, "result": map[string]any{"token": token}}
		passReply(w, 0, map[string]any{"response": s.seal(answer)})
		return
	}
	if s.token == "" || r.URL.Query().Get("token") != s.token {
		passReply(w, passTimeout, nil)
		return
	}
	if p.defect(OneRequest) {
		p.mu.Lock()
		delete(p.sessions, c.Value)
		p.mu.Unlock()
	}
	passReply(w, 0, map[string]any{"response": s.seal(json.RawMessage(p.answer(r.Context(), plain)))})
}

// login checks a pair, in the one form that this firmware knows. While it is locked it takes none, and does not state
// why.
func (p *securePass) login(username, plain, hashed []byte) (token string, code int) {
	hex1 := func(s string) []byte {
		h := sha1.Sum([]byte(s))
		return []byte(hex.EncodeToString(h[:]))
	}
	u, pw := p.holds()
	want, got, other := hex1(pw.Reveal()), hashed, plain
	if p.defect(Lv1) {
		want, got, other = []byte(pw.Reveal()), plain, hashed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.guard.left() > 0:
		return "", passWrong
	case len(got) == 0 && len(other) > 0 && !p.defect(Coarse):
		return "", passParams
	case !bytes.Equal(username, hex1(u)) || !bytes.Equal(got, want):
		p.guard.fail()
		return "", passWrong
	}
	p.guard.pass()
	return strings.ToUpper(hex.EncodeToString(randomBytes(16))), 0
}

// open decrypts a request. A session that is not known has no key, and opens none.
func (s *passSession) open(sealed []byte) ([]byte, bool) {
	if len(s.key) == 0 {
		return nil, false
	}
	return cbc.Open(s.key, s.iv, sealed)
}

// seal encrypts an answer.
func (s *passSession) seal(v any) []byte { return cbc.Seal(s.key, s.iv, encode(v)) }
