package tpap_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/drivertest"
	"github.com/rekeyd/rekeyd/devices/tpap"
	"github.com/rekeyd/rekeyd/devices/tpap/record"
	"github.com/rekeyd/rekeyd/devices/tpap/spake2"
)

// stranger is a plug that knows the old password and can answer each step as it likes.
type stranger struct {
	change  map[string]func(map[string]any)           // of the honest result of a step
	replace map[string]func(http.ResponseWriter) bool // in the place of an answer; false to answer all the same

	keys   spake2.Keys
	begun  *spake2.Responder
	random []byte
	steps  []string // that it was asked for, in order
}

// The steps by which a stranger is asked.
const (
	asked      = "discover"
	registered = "pake_register"
	proved     = "pake_share"
	commanded  = "command"
)

const strangerMAC = "3C-6A-D2-01-02-03"

func (s *stranger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	var q struct {
		Params struct {
			Step   string `json:"sub_method"`
			Random []byte `json:"user_random"`
			Share  []byte `json:"user_share"`
		}
	}
	step := commanded
	if json.Unmarshal(raw, &q) == nil && q.Params.Step != "" {
		step = q.Params.Step
	}
	s.steps = append(s.steps, step)
	if reply := s.replace[step]; reply != nil && reply(w) {
		return
	}
	result := map[string]any{}
	switch step {
	case asked:
		result = map[string]any{"mac": strangerMAC, "tpap": map[string]any{"tls": 0, "pake": []int{2}, "user_hash_type": 0}}
	case registered:
		sum := sha1.Sum([]byte("old-password"))
		secrets, err := spake2.Stretch(hex.EncodeToString(sum[:]), []byte("0123456789abcdef"), 1)
		if err != nil {
			panic(err)
		}
		s.begun, s.random = spake2.NewResponder(secrets.Verifier()), q.Params.Random
		result = map[string]any{
			"dev_random": bytes.Repeat([]byte{1}, 32), "dev_salt": []byte("0123456789abcdef"), "dev_share": s.begun.Share(),
			"cipher_suites": 1, "iterations": 1, "encryption": "aes_128_ccm",
			"extra_crypt": map[string]any{"type": "password_shadow", "params": map[string]any{"passwd_id": 2}},
		}
	case proved:
		s.keys, _ = s.begun.Finish(spake2.Context(s.random, bytes.Repeat([]byte{1}, 32)), q.Params.Share)
		result = map[string]any{"dev_confirm": s.keys.Device, "stok": "a!*(~)b", "start_seq": -2}
	case commanded:
		seq, _ := record.Seq(raw)
		if want := uint32(0xfffffffe); seq != want || r.RequestURI != "/stok=a!*(~)b/ds" {
			panic(fmt.Sprint("request ", seq, " to ", r.RequestURI))
		}
		info := map[string]any{"error_code": 0, "result": map[string]any{"mac": strangerMAC, "type": "SMART.TAPOPLUG"}}
		if change := s.change[step]; change != nil {
			change(info)
		}
		out, _ := json.Marshal(info)
		_, _ = w.Write(record.New(s.keys.Shared).Seal(seq, out))
		return
	}
	if change := s.change[step]; change != nil {
		change(result)
	}
	out, _ := json.Marshal(map[string]any{"error_code": 0, "result": result})
	_, _ = w.Write(out)
}

// times returns how often the stranger was asked for a step.
func (s *stranger) times(step string) (n int) {
	for _, one := range s.steps {
		if one == step {
			n++
		}
	}
	return n
}

// meet opens a stranger's web server and returns it as discovery reports it.
func (s *stranger) meet(t *testing.T) home.Device {
	t.Helper()
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	at := netip.MustParseAddrPort(server.Listener.Addr().String())
	id := home.DeviceID("mac-3c6ad2010203")
	return home.Device{ID: id, Keys: []string{"mac:3c6ad2010203"}, Kind: home.Plug, Protocol: home.TPAP, Addr: at}
}

// old are the candidates that a stranger knows.
func old() home.Candidates {
	c := both
	c.Credentials = both.Credentials[1:]
	return c
}

func patientOf(t *testing.T, timeout time.Duration) *tpap.Driver {
	t.Helper()
	on := drivertest.NewDisk()
	d, err := tpap.New(tpap.Options{Budget: on, Memory: on, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func set(key string, value any) func(map[string]any) {
	return func(m map[string]any) { m[key] = value }
}

func replies(text string) func(http.ResponseWriter) bool {
	return func(w http.ResponseWriter) bool { _, _ = io.WriteString(w, text); return true }
}

func TestAStrangerThatIsHonestIsOpened(t *testing.T) {
	s := &stranger{}
	f, err := patientOf(t, 0).Probe(t.Context(), s.meet(t), old())
	expect(t, f, err, home.Ours, home.Stale, 4)
}

func TestDemandsAreBoundedAndNamed(t *testing.T) {
	extra := func(typ string, params map[string]any) func(map[string]any) {
		return set("extra_crypt", map[string]any{"type": typ, "params": params})
	}
	for name, c := range map[string]struct {
		step   string
		change func(map[string]any)
		state  home.State
		detail string
	}{
		"suite 8":         {registered, set("cipher_suites", 8), home.Unsupported, "suite 8"},
		"two suites":      {registered, set("cipher_suites", []int{1, 2}), home.Unsupported, "suite"},
		"another cipher":  {registered, set("encryption", "chacha20_poly1305"), home.Unsupported, "chacha20_poly1305"},
		"many iterations": {registered, set("iterations", 1<<31-1), home.Unsupported, "iterations"},
		"no iterations":   {registered, set("iterations", 0), home.Unsupported, "iterations"},
		"authkey":         {registered, extra("password_authkey", nil), home.Unsupported, "password_authkey"},
		"shadow 3": {
			registered, extra("password_shadow", map[string]any{"passwd_id": 3}), home.Unsupported, "form 3",
		},
		"control sequence": {registered, extra("\x1b[2J\u202e", nil), home.Unsupported, "hashed by"},
		"many rounds": {registered, extra("password_shadow", map[string]any{
			"passwd_id": 5, "passwd_prefix": "$5$salt$", "passwd_rounds": 999_999_999,
		}), home.Unsupported, "rounds"},
		"passcode of kind 3": {asked, set("tpap", map[string]any{"pake": []int{1, 3}}), home.Unsupported, "kind [1 3]"},
		"user name in form 7": {
			asked, set("tpap", map[string]any{"pake": []int{2}, "user_hash_type": 7}), home.Unsupported, "form 7",
		},
		"another MAC":       {asked, set("mac", "3C-6A-D2-01-02-04"), home.Mismatch, ""},
		"no share":          {registered, set("dev_share", ""), home.Unreachable, ""},
		"share of zeros":    {registered, set("dev_share", make([]byte, 65)), home.Unreachable, ""},
		"point at infinity": {registered, set("dev_share", []byte{0}), home.Unreachable, ""},
		"no salt":           {registered, set("dev_salt", ""), home.Unreachable, ""},
		"long salt":         {registered, set("dev_salt", make([]byte, 5000)), home.Unreachable, ""},
		"salt without end": {
			registered, extra("password_shadow", map[string]any{"passwd_id": 5, "passwd_prefix": "$5$"}),
			home.Unreachable, "",
		},
		"no proof":            {proved, set("dev_confirm", ""), home.Mismatch, ""},
		"another proof":       {proved, set("dev_confirm", make([]byte, 32)), home.Mismatch, ""},
		"no token":            {proved, set("stok", ""), home.Unreachable, ""},
		"token with a path":   {proved, set("stok", "../../x"), home.Unreachable, ""},
		"token with a query":  {proved, set("stok", "a?b"), home.Unreachable, ""},
		"token with a line":   {proved, set("stok", "a\r\nb: c"), home.Unreachable, ""},
		"huge sequence":       {proved, set("start_seq", 1<<40), home.Unreachable, ""},
		"no sequence":         {proved, set("start_seq", nil), home.Unreachable, ""},
		"another device":      {commanded, set("result", map[string]any{"mac": "3C-6A-D2-01-02-04"}), home.Mismatch, ""},
		"no identity":         {commanded, set("result", nil), home.Unreachable, ""},
		"a refusal in sealed": {commanded, set("error_code", -1), home.Unreachable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stranger{change: map[string]func(map[string]any){c.step: c.change}}
			dev := s.meet(t)
			start := time.Now()
			f, err := patientOf(t, 0).Probe(t.Context(), dev, old())
			expect(t, f, err, home.Unknown, c.state, 0)
			if !strings.Contains(f.Verdict.Detail, c.detail) || strings.ContainsAny(f.Verdict.Detail, "\x1b\u202e") {
				t.Errorf("detail %q, want something of %q", f.Verdict.Detail, c.detail)
			}
			if took := time.Since(start); took > 30*time.Second { // the demands are for hours
				t.Errorf("it took %v", took)
			}
			if early := c.step == asked || c.step == registered; early && s.times(proved) > 0 {
				t.Error("a guess was sent to a device that is not spoken to")
			}
			if err := patientOf(t, 0).Rekey(t.Context(), dev, order); err == nil {
				t.Error("rekey: no error")
			}
		})
	}
}

func TestHostileAnswersAreNoAnswers(t *testing.T) {
	endless := func(w http.ResponseWriter) bool {
		for {
			if _, err := io.WriteString(w, strings.Repeat(" ", 4096)); err != nil {
				return true
			}
		}
	}
	answers := map[string]func(http.ResponseWriter) bool{
		"nothing": replies(""), "null": replies("null"), "list": replies("[]"), "half": replies(`{"error_code":0,"res`),
		"deep":        replies(strings.Repeat(`{"result":`, 20000)),
		"deep within": replies(`{"error_code":0,"result":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`),
		"a code":      replies(`{"error_code":-1}`), "no code": replies(`{"result":{}}`),
		"a text as code": replies(`{"error_code":"0"}`),
		"quotes":         replies("hello " + email), "binary": replies(strings.Repeat("\x00\xff{", 100)),
		"too long": replies(`{"error_code":0}` + strings.Repeat(" ", 70<<10)), "endless": endless,
		"403":      func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusForbidden); return true },
		"hangs up": func(http.ResponseWriter) bool { panic(http.ErrAbortHandler) },
		"redirects": func(w http.ResponseWriter) bool {
			w.Header().Set("Location", "/other")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		},
		"slow": func(w http.ResponseWriter) bool {
			for range 30 { // longer than the caller waits
				if _, err := io.WriteString(w, " "); err != nil || http.NewResponseController(w).Flush() != nil {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			return true
		},
	}
	for _, step := range []string{asked, registered, proved, commanded} {
		for name, reply := range answers {
			t.Run(step+" "+name, func(t *testing.T) {
				t.Parallel()
				s := &stranger{replace: map[string]func(http.ResponseWriter) bool{step: reply}}
				f, err := patientOf(t, 400*time.Millisecond).Probe(t.Context(), s.meet(t), old())
				expect(t, f, err, home.Unknown, home.Unreachable, 0)
				if text := fmt.Sprint(f); strings.Contains(text, "hello") {
					t.Errorf("it quotes a stranger: %s", text)
				}
			})
		}
	}
}

// Whoever answers learns the outcome of one guess for each attempt: no more than one share is sent to it, and none
// again after a refusal.
func TestAFalseDeviceGetsOneGuess(t *testing.T) {
	for name, answer := range map[string]string{
		"camera":            `{"error_code":-40401}`,
		"plug":              `{"error_code":-2203,"error_info":{"remainAttempts":14,"failedAttempts":1,"lockedMinute":0}}`,
		"counter elsewhere": `{"error_code":-2203,"result":{"data":{"remainAttempts":14}}}`,
		"a lock":            `{"error_code":-40404,"data":{"sec_left":99999999}}`,
		"suspended":         `{"error_code":-40408}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := &stranger{replace: map[string]func(http.ResponseWriter) bool{proved: replies(answer)}}
			dev, d := s.meet(t), patientOf(t, 0)
			locked := strings.Contains(answer, "-4040") && !strings.Contains(answer, "-40401")
			for range 3 {
				f, err := d.Probe(t.Context(), dev, old())
				if locked {
					expect(t, f, err, home.Unknown, home.LockedOut, 0)
					if left := time.Until(f.Verdict.Until); left < 29*time.Minute || left > time.Hour+time.Second {
						t.Errorf("locked for %v", left)
					}
					return
				}
				expect(t, f, err, home.Unknown, home.Mismatch, 0)
			}
			if got := s.times(proved); got != 1 {
				t.Errorf("%d guesses were sent", got)
			}
		})
	}
}

// One report has the code for a wrong password at the begin of a sign-in: its counter is heeded there, too.
func TestARefusalOfTheUserNameIsNamed(t *testing.T) {
	s := &stranger{replace: map[string]func(http.ResponseWriter) bool{
		registered: replies(`{"error_code":-2203,"error_info":{"remainAttempts":4}}`),
	}}
	dev, d := s.meet(t), patientOf(t, 0)
	f, err := d.Probe(t.Context(), dev, old())
	expect(t, f, err, home.Unknown, home.Unsupported, 0)
	if _, err := d.Probe(t.Context(), dev, old()); !errors.Is(err, home.ErrBudget) {
		t.Errorf("at the floor: %v", err)
	}
	if got := s.times(registered); got != 1 {
		t.Errorf("%d sign-ins were begun", got)
	}
}

// A session that the device ended is not begun again: each sign-in could be a wrong one.
func TestARefusedCommandIsNotRepeated(t *testing.T) {
	s := &stranger{replace: map[string]func(http.ResponseWriter) bool{commanded: replies(`{"error_code":-2203}`)}}
	f, err := patientOf(t, 0).Probe(t.Context(), s.meet(t), old())
	expect(t, f, err, home.Unknown, home.Unreachable, 0)
	if got := s.times(proved); got != 1 {
		t.Errorf("%d guesses were sent", got)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	on := drivertest.NewDisk()
	for _, o := range []tpap.Options{{}, {Budget: on}, {Memory: on}, {Budget: on, Memory: on, Timeout: -1}} {
		if _, err := tpap.New(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

// Whatever a device sends is read or refused, and what is read twice is read alike.
func FuzzAnswersAreReadOrRefused(f *testing.F) {
	b64 := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, text := range []string{
		`{"error_code":0,"result":{"mac":"3C-6A-D2-01-02-03","tpap":{"pake":[2],"user_hash_type":1}}}`,
		`{"error_code":-40209}`, `{"error_code":-2203,"error_info":{"remainAttempts":3}}`,
		`{"error_code":-40404,"data":{"sec_left":1800}}`,
		`{"error_code":0,"result":{"dev_random":"` + b64 + `","dev_salt":"` + b64 + `","iterations":5000,` +
			`"cipher_suites":[1],"encryption":"aes_128_ccm"}}`,
		`{"error_code":0,"result":{"dev_confirm":"` + b64 + `","stok":"a!b","start_seq":-1}}`,
		`{"type":"password_shadow","params":{"passwd_id":5,"passwd_prefix":"$5$sa+t$"}}`,
		`{"error_code":0,"result":{"responses":[{"method":"getDeviceInfo","error_code":0,"result":{}}]}}`,
		`{"onboarding":{"scan":{"public_key":"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"}}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for name, parse := range tpap.Parsers {
			if a, b := parse(raw), parse(raw); (a == nil) != (b == nil) {
				t.Errorf("%s reads %q as %v and %v", name, raw, a, b)
			}
		}
		if stok, _, err := tpap.ShareOf(raw); err == nil && (stok == "" || strings.ContainsAny(stok, "/?#%\\ \r\n")) {
			t.Errorf("token %q", stok)
		}
	})
}
