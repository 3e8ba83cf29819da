package passthrough

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/post"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// theKey is never changed.
var theKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := NewKey()
	if err != nil {
		panic(err)
	}
	return k
})

// serve runs a web server and returns a conversation with it.
func serve(t *testing.T, h http.HandlerFunc) *Conn {
	t.Helper()
	s := httptest.NewServer(h)
	l := New(netip.MustParseAddrPort(s.Listener.Addr().String()), theKey(), post.Options{Timeout: time.Second})
	t.Cleanup(func() { l.Close(); s.Close() })
	return l
}

// sealed is what a device answers to a handshake.
func sealed(t *testing.T, secret []byte) string {
	t.Helper()
	//lint:ignore SA1019 devices use this padding
	raw, err := rsa.EncryptPKCS1v15(rand.Reader, &theKey().PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"error_code":0,"result":{"key":%q}}`, base64.StdEncoding.EncodeToString(raw))
}

func TestHandshakeHasTheExpectedSize(t *testing.T) {
	var got []byte
	answer := sealed(t, make([]byte, 32))
	l := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		w.Header().Set("Set-Cookie", "TP_SESSIONID=0A1B;TIMEOUT=1440")
		_, _ = io.WriteString(w, answer)
	})
	if err := l.Handshake(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(got) != 314 { // devices/PROTOCOLS.md, section 8
		t.Errorf("%d bytes, want 314: %s", len(got), got)
	}
	if l.cookie != "0A1B" {
		t.Errorf("cookie %q", l.cookie)
	}
}

// A sign-in has the shape of devices/PROTOCOLS.md, section 8; SHA-1 of "great_password" and of the address were
// computed with sha1sum.
func TestSignInHasTheRequestedForm(t *testing.T) {
	for f, want := range map[Form]string{
		Hashed: `{"method":"login_device","params":{"password2":"` +
			b64("698789c94a1bc1bf1bc2730bb513acd9fec936f8") + `","username":"USER"}}`,
		Plain: `{"method":"login_device","params":{"password":"Z3JlYXRfcGFzc3dvcmQ=","username":"USER"}}`,
	} {
		want = strings.Replace(want, "USER", b64("63a710569261a24b3766275b7000ce8d7b32e2f7"), 1)
		secret := bytes.Repeat([]byte{7}, 32)
		s := &sessionCipher{[16]byte(secret[:16]), [16]byte(secret[16:])}
		var got []byte
		l := serve(t, func(w http.ResponseWriter, r *http.Request) {
			var q struct{ Params struct{ Request []byte } }
			if json.NewDecoder(r.Body).Decode(&q) == nil && q.Params.Request == nil {
				_, _ = io.WriteString(w, sealed(t, secret))
				return
			}
			got, _ = s.decrypt(q.Params.Request)
			_, _ = fmt.Fprintf(
				w,
				`{"error_code":0,"result":{"response":%q}}`,
				base64.StdEncoding.EncodeToString(s.encrypt([]byte(`{"error_code":0,"result":{"token":"AB12"}}`))),
			)
		})
		if err := l.Handshake(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.Login(t.Context(), f, "user@example.com", "great_password"); err != nil || l.token != "AB12" {
			t.Errorf("%v, token %q", err, l.token)
		}
		if string(got) != want {
			t.Errorf("form %d: %s, want %s", f, got, want)
		}
	}
}

func TestBrokenCiphertextIsRefused(t *testing.T) {
	s := &sessionCipher{}
	for n := range 40 {
		plain := strings.Repeat("x", n)
		if got, err := s.decrypt(s.encrypt([]byte(plain))); err != nil || string(got) != plain {
			t.Errorf("%d: %q, %v", n, got, err)
		}
	}
	whole := s.encrypt([]byte("0123456789abcdef"))
	for _, broken := range [][]byte{nil, whole[:1], whole[:17], whole[:16]} {
		if got, err := s.decrypt(broken); err == nil {
			t.Errorf("%x is %q", broken, got)
		}
	}
}

func TestHandshakeAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		want   error
	}{
		"a short secret": {sealed(t, make([]byte, 31)), failure.ErrProtocol},
		"a long secret":  {sealed(t, make([]byte, 33)), failure.ErrProtocol},
		"no secret":      {`{"error_code":0,"result":{"key":""}}`, failure.ErrProtocol},
		"another's":      {`{"error_code":0,"result":{"key":"` + strings.Repeat("A", 172) + `"}}`, failure.ErrProtocol},
		"too long":       {`{"error_code":0,"result":{"key":"` + strings.Repeat("A", 40000) + `"}}`, failure.ErrProtocol},
		"no base64":      {`{"error_code":0,"result":{"key":"%%"}}`, failure.ErrProtocol},
		"no result":      {`{"error_code":0}`, failure.ErrProtocol},
		"null":           {`null`, failure.ErrProtocol},
		"a code":         {`{"error_code":-1002}`, failure.ErrProtocol},
		"moved":          {`{"error_code":1003}`, failure.ErrReclassified},
		"bad key":        {`{"error_code":-1010}`, failure.ErrTryLater},
		"1002":           {`{"error_code":1002}`, failure.ErrTryLater},
		"1112":           {`{"error_code":1112}`, failure.ErrTryLater},
		"-1001":          {`{"error_code":-1001}`, failure.ErrTryLater},
		"timeout":        {`{"error_code":9999}`, ErrEnded},
	} {
		asked := 0
		l := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			asked++
			_, _ = io.WriteString(w, c.answer)
		})
		err := l.Handshake(t.Context())
		if !errors.Is(err, home.ErrUnreachable) || !errors.Is(err, c.want) {
			t.Errorf("%s: got %v", name, err)
		}
		if want := map[bool]int{true: 2, false: 1}[c.want == failure.ErrTryLater]; asked != want {
			t.Errorf("%s: asked %d times, want %d", name, asked, want)
		}
		if _, err := l.Exchange(context.Background(), []byte("{}")); !errors.Is(err, ErrEnded) {
			t.Errorf("%s: got %v without a session", name, err)
		}
	}
}

func TestSignInAnswers(t *testing.T) {
	for raw, want := range map[string]error{
		`{"error_code":-1501}`: ErrWrong, `{"error_code":1111}`: ErrWrong, `{"error_code":-1008}`: ErrForm,
		`{"error_code":-7}`: failure.ErrProtocol,
		`{}`:                failure.ErrProtocol, `[]`: failure.ErrProtocol, ``: failure.ErrProtocol,
		`{"error_code":0}`: home.ErrUnreachable, `{"error_code":0,"result":{"token":"a b"}}`: home.ErrUnreachable,
		`{"error_code":0,"result":{"token":"a&b=c"}}`:                            home.ErrUnreachable,
		`{"error_code":0,"result":{"token":"` + strings.Repeat("a", 129) + `"}}`: home.ErrUnreachable,
	} {
		if token, err := parseLogin([]byte(raw)); !errors.Is(err, want) || token != "" {
			t.Errorf("%.40s: %q, %v", raw, token, err)
		}
	}
}

// FuzzAnswer states that every input is an answer or an error of home, and that only a token of letters and digits is
// accepted.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		`{"error_code":0,"result":{"key":"AAAA","response":"AAAA","token":"ab"}}`, `{"error_code":0,"result":null}`,
		`{"error_code":0,"result":[]}`,
		`{"error_code":9999}`, `{"error_code":1e99}`, `null`, ``, strings.Repeat(`{"result":`, 2000),
		`{"error_code":0,"result":{"response":"` + strings.Repeat("A", 44) + `"}}`,
	} {
		f.Add([]byte(s))
	}
	s := &sessionCipher{}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := parseAnswer(post.Answer{Status: http.StatusOK, Body: raw})
		if err != nil && !errors.Is(err, home.ErrUnreachable) {
			t.Errorf("got %v", err)
		}
		if plain, err := s.decrypt(a.result.Response); err == nil && len(plain) >= len(a.result.Response) {
			t.Errorf("%d bytes out of %d", len(plain), len(a.result.Response))
		}
		if _, err := openSessionKey(theKey(), a.result.Key); err == nil && len(a.result.Key) != 128 {
			t.Errorf("a key of %d bytes is opened", len(a.result.Key))
		}
		token, err := parseLogin(raw)
		if err == nil && !fitsURL(token) || err != nil && token != "" ||
			err != nil && !errors.Is(err, home.ErrUnreachable) && !errors.Is(err, home.ErrNotOpened) {
			t.Errorf("token %q, %v", token, err)
		}
	})
}
