package smart_test

import (
	"bytes"
	crypto "crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/smart"
)

// sealing is a session of an insider: a key of zeros.
func sealing(plain string) string {
	pad := 16 - len(plain)%16
	return raw16(append([]byte(plain), bytes.Repeat([]byte{byte(pad)}, pad)...))
}

// raw16 seals whole blocks as they are.
func raw16(plain []byte) string {
	b, err := crypto.NewCipher(make([]byte, 16))
	if err != nil {
		panic(err)
	}
	cipher.NewCBCEncrypter(b, make([]byte, 16)).CryptBlocks(plain, plain)
	return passed(base64.StdEncoding.EncodeToString(plain))
}

// passed is the envelope of an answer.
func passed(response string) string {
	return fmt.Sprintf(`{"error_code":0,"result":{"response":%q}}`, response)
}

// insider is a device that shakes hands, and answers as it likes after that; with "" it takes a sign-in. It returns
// what it was asked.
func insider(t *testing.T, answer func(method string) string) (home.Device, *[]string) {
	t.Helper()
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Method string
			Params struct {
				Key     string
				Request []byte
			}
		}
		if json.NewDecoder(r.Body).Decode(&q) != nil {
			return
		}
		if q.Method == "handshake" {
			der, _ := base64.StdEncoding.DecodeString(strings.Split(q.Params.Key, "\n")[1])
			public, err := x509.ParsePKIXPublicKey(der)
			if err != nil {
				t.Error(err)
				return
			}
			//lint:ignore SA1019 it is what devices seal with
			key, err := rsa.EncryptPKCS1v15(rand.Reader, public.(*rsa.PublicKey), make([]byte, 32))
			if err != nil {
				t.Error(err)
			}
			_, _ = fmt.Fprintf(w, `{"error_code":0,"result":{"key":%q}}`, base64.StdEncoding.EncodeToString(key))
			return
		}
		b, err := crypto.NewCipher(make([]byte, 16))
		if err != nil || len(q.Params.Request)%16 != 0 {
			t.Errorf("%d bytes, %v", len(q.Params.Request), err)
			return
		}
		cipher.NewCBCDecrypter(b, make([]byte, 16)).CryptBlocks(q.Params.Request, q.Params.Request)
		var inner struct{ Method string }
		_ = json.NewDecoder(bytes.NewReader(q.Params.Request)).Decode(&inner)
		asked = append(asked, inner.Method) // one connection, one after the other
		reply := answer(inner.Method)
		if reply == "" {
			reply = sealing(`{"error_code":0,"result":{"token":"AB"}}`)
		}
		_, _ = io.WriteString(w, reply)
	}))
	t.Cleanup(s.Close)
	at := netip.MustParseAddrPort(s.Listener.Addr().String())
	return home.Device{
		ID:       "mac-5ce931000001",
		Keys:     []string{"mac:5ce931000001"},
		Protocol: home.SmartAES,
		Addr:     at,
	}, &asked
}

const itself = `{"error_code":0,"result":{"mac":"5C-E9-31-00-00-01","type":"SMART.TAPOPLUG","model":"P100",` +
	`"nickname":"RG9vcg=="}}`

// One who lets everybody in can still not be taken for a device that it does not claim to be, nor crash what reads
// it.
func TestAHostileDeviceInsideItsSession(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		state  home.State
	}{
		"itself":           {sealing(itself), home.Stale},
		"another":          {sealing(strings.Replace(itself, "00-01", "00-02", 1)), home.Mismatch},
		"no identity":      {sealing(strings.Replace(itself, "5C-E9-31-00-00-01", "", 1)), home.Unreachable},
		"a short address":  {sealing(strings.Replace(itself, "5C-E9-31-00-00-01", "5C-E9-31", 1)), home.Unreachable},
		"not hexadecimal":  {sealing(strings.Replace(itself, "00-01", "00-ZZ", 1)), home.Unreachable},
		"a number":         {sealing(`{"error_code":0,"result":{"mac":7}}`), home.Unreachable},
		"a list":           {sealing(`{"error_code":0,"result":[]}`), home.Unreachable},
		"a code":           {sealing(`{"error_code":-1002}`), home.Unreachable},
		"always busy":      {sealing(`{"error_code":1112}`), home.Unreachable},
		"always ended":     {sealing(`{"error_code":9999}`), home.Unreachable},
		"ended outside":    {`{"error_code":9999}`, home.Unreachable},
		"updated since":    {sealing(`{"error_code":1003}`), home.Unreachable},
		"no code":          {sealing(`{}`), home.Unreachable},
		"null":             {sealing(`null`), home.Unreachable},
		"deep":             {sealing(`{"error_code":0,"result":` + strings.Repeat("[", 20000)), home.Unreachable},
		"nothing sealed":   {passed(""), home.Unreachable},
		"a wrong length":   {passed("AAAA"), home.Unreachable},
		"a wrong padding":  {raw16(bytes.Repeat([]byte{17}, 32)), home.Unreachable},
		"no padding":       {raw16(make([]byte, 32)), home.Unreachable},
		"only padding":     {sealing(""), home.Unreachable},
		"no base64":        {passed("%%%%"), home.Unreachable},
		"not sealed":       {itself, home.Unreachable},
		"cut short":        {sealing(itself)[:60], home.Unreachable},
		"too long":         {sealing(strings.Repeat(" ", 60<<10) + itself), home.Unreachable},
		"control letters":  {sealing(strings.Replace(itself, "RG9vcg==", "AQIDGwo=", 1)), home.Stale},
		"an endless name":  {sealing(strings.Replace(itself, "P100", strings.Repeat("P", 9000), 1)), home.Stale},
		"half of a letter": {sealing(strings.Replace(itself, "RG9vcg==", "w/8=", 1)), home.Stale},
	} {
		t.Run(name, func(t *testing.T) {
			dev, asked := insider(t, func(method string) string {
				if method == "login_device" {
					return ""
				}
				return c.answer
			})
			b := purse(3)
			d := aes(t, smart.AESOptions{Timeout: time.Second, Budget: b})
			f, err := d.Probe(t.Context(), dev, agreedBoth)
			if err != nil || f.Verdict.State != c.state || (f.Match == home.Ours) != (c.state == home.Stale) {
				t.Errorf("found %s, %s (%s), %v", f.Match, f.Verdict.State, f.Verdict.Detail, err)
			}
			if len(f.Device.Name) > 120 || len(f.Device.Model) > 120 ||
				strings.ContainsAny(f.Device.Name, "\x01\x02\x03\x1b\n") {
				t.Errorf("named %q, %q", f.Device.Name, f.Device.Model)
			}
			if err := d.Rekey(t.Context(), dev, agreedMove); err == nil {
				t.Error("moved")
			}
			if b.spent[dev.ID] != 0 {
				t.Errorf("%d sign-ins are counted, and all were right", b.spent[dev.ID])
			}
			if len(*asked) > 12 {
				t.Errorf("asked %d times: %q", len(*asked), *asked)
			}
		})
	}
}

// Whatever a device answers to a sign-in: each that is sent was counted before, and none is sent without end.
func TestEachSignInThatIsSentIsCounted(t *testing.T) {
	for name, c := range map[string]struct {
		first  string // to the first sign-in; the next are taken
		always bool
		state  home.State
		sent   int // by one probe
		spent  int
	}{
		"taken":           {"", false, home.Stale, 1, 0},
		"ended at first":  {sealing(`{"error_code":9999}`), false, home.Stale, 2, 1},
		"busy at first":   {sealing(`{"error_code":-1001}`), false, home.Stale, 2, 1},
		"outside at once": {`{"error_code":1002}`, false, home.Stale, 2, 1},
		"always ended":    {`{"error_code":9999}`, true, home.Unreachable, 2, 2},
		"always busy":     {sealing(`{"error_code":1112}`), true, home.Unreachable, 2, 2},
		"moved":           {sealing(`{"error_code":1003}`), true, home.Unreachable, 1, 1},
		"a code":          {sealing(`{"error_code":-40401}`), true, home.Unreachable, 1, 1},
		"a bad token":     {sealing(`{"error_code":0,"result":{"token":"a b"}}`), true, home.Unreachable, 1, 1},
		"wrong at first":  {sealing(`{"error_code":-1501}`), false, home.Current, 2, 1},
		"form at first":   {sealing(`{"error_code":-1008}`), false, home.Stale, 2, 1},
		"wrong, always":   {sealing(`{"error_code":-1501}`), true, "", 4, 4},
		"form, always":    {sealing(`{"error_code":-1008}`), true, "", 4, 4},
	} {
		t.Run(name, func(t *testing.T) {
			begun := 0
			dev, asked := insider(t, func(method string) string {
				if method != "login_device" {
					return sealing(itself)
				}
				if begun++; begun == 1 || c.always {
					return c.first
				}
				return ""
			})
			b := purse(4)
			f, err := aes(t, smart.AESOptions{Timeout: 5 * time.Second, Budget: b}).Probe(t.Context(), dev, agreedBoth)
			if c.state == "" {
				if !errors.Is(err, home.ErrBudget) {
					t.Errorf("found %s, %v", f.Verdict.State, err)
				}
			} else if err != nil || f.Verdict.State != c.state {
				t.Errorf("found %s (%s), %v; want %s", f.Verdict.State, f.Verdict.Detail, err, c.state)
			}
			sent := 0
			for _, m := range *asked {
				if m == "login_device" {
					sent++
				}
			}
			if sent != c.sent || b.calls != sent || b.spent[dev.ID] != c.spent {
				t.Errorf("%d sent, %d counted, %d spent; want %d and %d", sent, b.calls, b.spent[dev.ID], c.sent, c.spent)
			}
		})
	}
}
