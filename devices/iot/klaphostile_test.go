package iot_test

import (
	"bytes"
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/iot"
)

func sumOf(parts ...[]byte) []byte { h := sha256.Sum256(bytes.Join(parts, nil)); return h[:] }

// insider knows the old credential, speaks KLAP version 2, and answers as the test chooses: answer gets the request
// and returns what is sealed, or the whole body where raw.
type insider struct {
	answer func(request string) (answer []byte, raw bool)
	asked  int
	user   string // whose credential it proves, with password; those of the old one where empty
	word   string

	local, remote, auth []byte
}

func (d *insider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	switch r.URL.Path {
	case "/app/handshake1":
		u, p := sha1.Sum([]byte(cmp.Or(d.user, capital))), sha1.Sum([]byte(cmp.Or(d.word, "old-password")))
		d.local, d.remote, d.auth = body, bytes.Repeat([]byte{7}, 16), sumOf(append(u[:], p[:]...))
		w.Header().Set("Set-Cookie", "TP_SESSIONID=ABCD;TIMEOUT=86400")
		_, _ = w.Write(append(bytes.Clone(d.remote), sumOf(d.local, d.remote, d.auth)...))
	case "/app/request":
		d.asked++
		var seq int32
		_, _ = fmt.Sscan(r.URL.Query().Get("seq"), &seq)
		block, _ := aes.NewCipher(sumOf([]byte("lsk"), d.local, d.remote, d.auth)[:16])
		iv := binary.BigEndian.AppendUint32(bytes.Clone(sumOf([]byte("iv"), d.local, d.remote, d.auth)[:12]), uint32(seq))
		plain := bytes.Clone(body[32:])
		cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, plain)
		answer, raw := d.answer(string(plain[:len(plain)-int(plain[len(plain)-1])]))
		if raw {
			_, _ = w.Write(answer)
			return
		}
		pad := 16 - len(answer)%16
		sealed := append(bytes.Clone(answer), bytes.Repeat([]byte{byte(pad)}, pad)...)
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(sealed, sealed)
		_, _ = w.Write(
			append(
				sumOf(
					sumOf([]byte("ldk"), d.local, d.remote, d.auth)[:28], binary.BigEndian.AppendUint32(nil, uint32(seq)), sealed,
				),
				sealed...),
		)
	}
}

// TestAHostileDeviceInsideItsKLAPSession lets a device that holds an account's credential answer as it likes.
func TestAHostileDeviceInsideItsKLAPSession(t *testing.T) {
	const itself = `{"system":{"get_sysinfo":{"err_code":0,"mac":"50:C7:BF:00:00:01","type":"IOT.SMARTPLUGSWITCH",` +
		`"model":"HS100(EU)","alias":"Hall"}}}`
	const bound = `{"cnCloud":{"get_info":{"err_code":0,"username":"Ann@example.org","binded":1,"cld_connection":1}}}`
	sealing := func(s string) func(string) ([]byte, bool) {
		return func(string) ([]byte, bool) { return []byte(s), false }
	}
	raw := func(b []byte) func(string) ([]byte, bool) { return func(string) ([]byte, bool) { return b, true } }
	honest := func(request string) ([]byte, bool) {
		if strings.Contains(request, "get_sysinfo") {
			return []byte(itself), false
		}
		return []byte(bound), false
	}
	for name, c := range map[string]struct {
		answer func(string) ([]byte, bool)
		state  home.State
	}{
		"itself":         {honest, home.Stale},
		"another":        {sealing(strings.Replace(itself, "00:01", "00:02", 1)), home.Mismatch},
		"no owner":       {sealing(strings.Replace(itself, "50:C7:BF:00:00:01", "", 1)), home.Unreachable},
		"a code":         {sealing(`{"system":{"err_code":-1}}`), home.Unreachable},
		"null":           {sealing(`null`), home.Unreachable},
		"a list":         {sealing(`[]`), home.Unreachable},
		"nothing":        {sealing(``), home.Unreachable},
		"deep":           {sealing(`{"system":{"get_sysinfo":` + strings.Repeat(`[`, 20000)), home.Unreachable},
		"too long":       {sealing(strings.Repeat(" ", 70<<10) + itself), home.Unreachable},
		"cut":            {raw(make([]byte, 40)), home.Unreachable},
		"no signature":   {raw(make([]byte, 64)), home.Unreachable},
		"no block":       {raw(make([]byte, 50)), home.Unreachable},
		"empty":          {raw(nil), home.Unreachable},
		"the clear":      {raw([]byte(itself)), home.Unreachable},
		"always busy":    {sealing(`{"system":{"get_sysinfo":{"err_code":-32}}}`), home.Unreachable},
		"half an answer": {sealing(itself[:80]), home.Unreachable},
		"only half of two": {
			func(r string) ([]byte, bool) { return []byte(itself), !strings.Contains(r, "get_sysinfo") },
			home.Unreachable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &insider{answer: c.answer}
			s := httptest.NewServer(d)
			defer s.Close()
			dev := home.Device{
				ID:       "mac-50c7bf000001",
				Protocol: home.IOTKLAP2,
				Addr:     netip.MustParseAddrPort(s.Listener.Addr().String()),
			}
			k := klapDriver(t)
			f, err := k.Probe(t.Context(), dev, vault)
			if err != nil || f.Verdict.State != c.state || (f.Match == home.Ours) != (c.state == home.Stale) {
				t.Errorf("found %s, %+v, %v", f.Match, f.Verdict, err)
			}
			if err := k.Rekey(t.Context(), dev, forward); err == nil {
				t.Error("moved")
			}
			if d.asked > 40 {
				t.Errorf("asked %d times", d.asked)
			}
		})
	}
}

// TestHostileServersInPlaceOfAKLAPDevice lets all sorts of servers stand at a device's address.
func TestHostileServersInPlaceOfAKLAPDevice(t *testing.T) {
	replies := func(b []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }
	}
	for name, h := range map[string]http.HandlerFunc{
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		},
		"an error":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"nothing":        replies(nil),
		"too short":      replies(make([]byte, 47)),
		"too long":       replies(make([]byte, 49)),
		"another's hash": replies(make([]byte, 48)),
		"a flood":        replies(make([]byte, 1<<20)),
		"words":          replies([]byte("hello " + capital)),
		"hangs up":       func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"long headers":   func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 64<<10)) },
		"cuts its cookie": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Set-Cookie", "TP_SESSIONID=a\tb,c;TIMEOUT=x")
			_, _ = w.Write(make([]byte, 48))
		},
		"no end": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		},
		"silence": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(h)
			defer s.Close()
			dev := home.Device{
				ID:       "mac-50c7bf000001",
				Protocol: home.KLAP1,
				Addr:     netip.MustParseAddrPort(s.Listener.Addr().String()),
			}
			d, err := iot.NewKLAP(iot.Options{Timeout: 300 * time.Millisecond, BindTimeout: 300 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			f, err := d.Probe(t.Context(), dev, vault)
			if err != nil || f.Match == home.Ours || f.Verdict.State != home.Unreachable && f.Verdict.State != home.Mismatch {
				t.Errorf("%+v, %v", f, err)
			}
			rerr := d.Rekey(t.Context(), dev, forward)
			if rerr == nil {
				t.Error("moved")
			}
			if text := fmt.Sprint(f, rerr); strings.Contains(text, "hello") || strings.Contains(text, capital) {
				t.Errorf("it quotes: %s", text)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestANewSessionInAMoveProvesForItself has a device prove the old credential, state who it is, and end the session at
// bind. In the next one, which anybody at its address can open, it proves the public factory credential.
func TestANewSessionInAMoveProvesForItself(t *testing.T) {
	for name, binded := range map[string]int{"not unbound in this move": 0, "unbind was not answered": 1} {
		t.Run(name, func(t *testing.T) {
			const itself = `{"system":{"get_sysinfo":{"err_code":0,"mac":"50:C7:BF:00:00:01","type":"IOT.SMARTPLUGSWITCH",` +
				`"model":"HS100(EU)","alias":"Hall"}}}`
			bound := fmt.Sprintf(`{"cnCloud":{"get_info":{"err_code":0,"username":%q,"binded":%d}}}`, capital, binded)
			var received []string
			d := &insider{}
			d.answer = func(request string) ([]byte, bool) {
				received = append(received, request)
				switch {
				case strings.Contains(request, "get_sysinfo"):
					return []byte(itself), false
				case strings.Contains(request, "get_info"):
					return []byte(bound), false
				}
				return []byte(`{"cnCloud":{"bind":{"err_code":0},"unbind":{"err_code":0}}}`), false
			}
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/app/request" && d.asked == 2 && d.user == "" {
					d.user, d.word = "test@tp-link.net", "test"
					w.WriteHeader(http.StatusForbidden)
					return
				}
				d.ServeHTTP(w, r)
			}))
			defer s.Close()
			dev := home.Device{
				ID: "mac-50c7bf000001", Protocol: home.IOTKLAP2,
				Addr: netip.MustParseAddrPort(s.Listener.Addr().String()),
			}
			err := klapDriver(t).Rekey(t.Context(), dev, forward)
			if d.user == "" || err == nil {
				t.Errorf("err %v; the session was ended: %t", err, d.user != "")
			}
			if all := strings.Join(received, " "); strings.Contains(all, "password") {
				t.Errorf("received %s", all)
			}
		})
	}
}
