package sim

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/cbc"
)

// klap is the web server of a device that speaks KLAP: devices/PROTOCOLS.md, section 7. Its hashes are written here
// once more, so that a mistake is not made alike at both ends; the vectors of that page check both.
type klap struct {
	v1     bool
	defect func(Defect) bool
	holds  func() (string, home.Secret) // username and password; "" for none
	answer func(context.Context, []byte) []byte
	opened *opened

	mu       sync.Mutex // guards the fields below
	sessions map[string]*klapSession
	asked    int // handshakes
}

// klapSession is a handshake, and after its second step a session.
type klapSession struct {
	local, remote, auth []byte
	open                bool
	seq                 int32
}

// maxSessions is how many a device keeps.
const maxSessions = 8

// auth is the hash that the device keeps in place of its pair: MD5 in version 1, SHA-1 and SHA-256 in version 2.
func (k *klap) auth(username, password string) []byte {
	if k.v1 {
		u, p := md5.Sum([]byte(username)), md5.Sum([]byte(password))
		a := md5.Sum(append(u[:], p[:]...))
		return a[:]
	}
	u, p := sha1.Sum([]byte(username)), sha1.Sum([]byte(password))
	a := sha256.Sum256(append(u[:], p[:]...))
	return a[:]
}

func hashOf(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// proofs are the hashes by which this end and the other prove themselves.
func (k *klap) proofs(s *klapSession) (server, client []byte) {
	if k.v1 {
		return hashOf(s.local, s.auth), hashOf(s.remote, s.auth)
	}
	return hashOf(s.local, s.remote, s.auth), hashOf(s.remote, s.local, s.auth)
}

// close ends all sessions, as when the device is switched off.
func (k *klap) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.sessions)
}

// movedOn is the answer of a device to the older handshake: its firmware speaks KLAP now (devices/PROTOCOLS.md, section
// 7.2).
const movedOn = `{"error_code":1003}`

// ServeHTTP answers the three steps of KLAP, and the older handshake with the code of firmware that has moved on.
func (k *klap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.Path == "/" {
		_, _ = io.WriteString(w, "200 OK")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	k.opened.add(body)
	switch r.URL.Path {
	case "/app":
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		_, _ = io.WriteString(w, movedOn)
	case "/app/handshake1":
		k.first(w, body)
	case "/app/handshake2":
		k.second(w, r, body)
	case "/app/request":
		k.request(w, r, body)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// first answers handshake1: with its own random bytes, and the proof of the pair that the device holds.
func (k *klap) first(w http.ResponseWriter, local []byte) {
	if k.defect(ThirdPartyOff) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if len(local) != 16 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if k.defect(Garbled) {
		_, _ = w.Write([]byte("hello"))
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	username, password := k.holds()
	pw := password.Reveal()
	if k.defect(Flapping) && k.asked%2 == 0 {
		username, pw = "test@tp-link.net", "test"
	}
	s := &klapSession{local: local, remote: make([]byte, 16), auth: k.auth(username, pw)}
	_, _ = rand.Read(s.remote)
	name := make([]byte, 16)
	_, _ = rand.Read(name)
	if k.sessions == nil {
		k.sessions = map[string]*klapSession{}
	}
	for old := range k.sessions {
		if len(k.sessions) < maxSessions {
			break
		}
		delete(k.sessions, old)
	}
	id := hex.EncodeToString(name)
	k.sessions[id] = s
	server, _ := k.proofs(s)
	w.Header().Set("Set-Cookie", "TP_SESSIONID="+id+";TIMEOUT=86400")
	_, _ = w.Write(append(bytes.Clone(s.remote), server...))
}

// session returns the session that a request is of; k.mu is held.
func (k *klap) session(r *http.Request) (string, *klapSession) {
	c, err := r.Cookie("TP_SESSIONID")
	if _, refused := r.Cookie("TIMEOUT"); err != nil || refused == nil {
		return "", nil // devices dislike the TIMEOUT coming back
	}
	return c.Value, k.sessions[c.Value]
}

// second answers handshake2: a client with a wrong proof loses its session.
func (k *klap) second(w http.ResponseWriter, r *http.Request, proof []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id, s := k.session(r)
	if s == nil {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if _, client := k.proofs(s); !bytes.Equal(client, proof) {
		delete(k.sessions, id)
		w.WriteHeader(http.StatusForbidden)
		return
	}
	s.open = true
	s.seq = int32(binary.BigEndian.Uint32(hashOf([]byte("iv"), s.local, s.remote, s.auth)[28:]))
}

// request answers one request of a session. Sequence numbers are checked as real devices do.
func (k *klap) request(w http.ResponseWriter, r *http.Request, body []byte) {
	k.mu.Lock()
	id, s := k.session(r)
	if s == nil || !s.open {
		k.mu.Unlock()
		w.WriteHeader(http.StatusForbidden)
		return
	}
	seq, err := strconv.ParseInt(r.URL.Query().Get("seq"), 10, 32)
	if err != nil || int32(seq) != s.seq+1 {
		k.mu.Unlock()
		w.WriteHeader(http.StatusForbidden)
		return
	}
	s.seq++
	if k.defect(OneRequest) {
		delete(k.sessions, id)
	}
	k.mu.Unlock()
	plain, ok := s.open1(body)
	if !ok {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	k.opened.add(plain)
	_, _ = w.Write(s.seal(k.answer(r.Context(), plain)))
}

// key and nonce are those of the session at its present sequence number.
func (s *klapSession) key() []byte { return hashOf([]byte("lsk"), s.local, s.remote, s.auth)[:16] }

func (s *klapSession) nonce() []byte {
	iv := hashOf([]byte("iv"), s.local, s.remote, s.auth)[:12]
	return binary.BigEndian.AppendUint32(iv, uint32(s.seq))
}

// sign returns the signature of a sealed message.
func (s *klapSession) sign(sealed []byte) []byte {
	return hashOf(hashOf([]byte("ldk"), s.local, s.remote, s.auth)[:28],
		binary.BigEndian.AppendUint32(nil, uint32(s.seq)), sealed)
}

// open1 opens a request under the session's number.
func (s *klapSession) open1(body []byte) ([]byte, bool) {
	if len(body) < 32 || !bytes.Equal(s.sign(body[32:]), body[:32]) {
		return nil, false
	}
	return cbc.Open(s.key(), s.nonce(), body[32:])
}

func (s *klapSession) seal(plain []byte) []byte {
	sealed := cbc.Seal(s.key(), s.nonce(), plain)
	return append(s.sign(sealed), sealed...)
}
