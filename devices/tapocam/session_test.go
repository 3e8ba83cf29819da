package tapocam_test

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/tapocam"
)

// insider is a camera that holds the old password, lets one in, and then answers as it likes.
func insider(t *testing.T, answer func(w http.ResponseWriter, seal func(string) string)) home.Device {
	const nonce = "1011121314151617"
	var v tapocam.Vector
	return hostile(t, func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		_, cnonce, begins := strings.Cut(string(raw), `"cnonce":"`)
		switch {
		case strings.HasPrefix(r.URL.Path, "/stok=abc/ds"):
			answer(w, func(plain string) string {
				n := 16 - len(plain)%16
				out := []byte(plain + strings.Repeat(string(rune(n)), n))
				b, _ := aes.NewCipher(v.LSK[:]) // a key of 16 bytes
				cipher.NewCBCEncrypter(b, v.IVB[:]).CryptBlocks(out, out)
				return base64.StdEncoding.EncodeToString(out)
			})
		case strings.Contains(string(raw), "digest_passwd"):
			_, _ = io.WriteString(w, `{"error_code":0,"result":{"stok":"abc","start_seq":-7}}`)
		case begins:
			v = tapocam.VectorOf("old-password", cnonce[:16], nonce, false, "", 0)
			_, _ = fmt.Fprintf(
				w,
				`{"error_code":-40413,"result":{"data":{"nonce":"%s","max_time":10,"device_confirm":"%s"}}}`,
				nonce,
				v.Confirm,
			)
		}
	})
}

func passed(response string) string {
	return `{"error_code":0,"seq":1,"result":{"response":"` + response + `"}}`
}

const (
	inner = `{"error_code":0,"result":{"responses":[{"method":"x","error_code":0,"result":%s}]}}`
	me    = `"device_info":{"basic_info":{"mac":"1C-61-B4-01-02-03","device_model":"C200","device_alias":"Door"}}`
)

func TestAnswersOfACameraInASessionAreNotTrustedEither(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(w io.Writer, seal func(string) string)
		state  home.State
	}{
		"who it is": {func(w io.Writer, seal func(string) string) {
			_, _ = io.WriteString(w, passed(seal(fmt.Sprintf(inner, "{"+me+"}"))))
		}, home.Stale},
		"another": {func(w io.Writer, seal func(string) string) {
			_, _ = io.WriteString(w, passed(seal(strings.Replace(fmt.Sprintf(inner, "{"+me+"}"), "03", "04", 1))))
		}, home.Mismatch},
		"no identity": {func(w io.Writer, seal func(string) string) {
			_, _ = io.WriteString(w, passed(seal(fmt.Sprintf(inner, "{}"))))
		}, home.Unreachable},
		"two answers": {func(w io.Writer, seal func(string) string) {
			_, _ = io.WriteString(w, passed(seal(`{"error_code":0,"result":{"responses":[{"error_code":0},{"error_code":0}]}}`)))
		}, home.Unreachable},
		"an error": {func(w io.Writer, seal func(string) string) {
			_, _ = io.WriteString(w, passed(seal(`{"error_code":-40210}`)))
		}, home.Unreachable},
		"deep": {func(w io.Writer, seal func(string) string) {
			_, _ = io.WriteString(w, passed(seal(strings.Repeat(`{"result":`, 3000))))
		}, home.Unreachable},
		"not sealed": {func(w io.Writer, _ func(string) string) {
			_,
				_ = io.WriteString(w, fmt.Sprintf(inner, "{"+me+"}"))
		}, home.Unreachable},
		"nothing sealed": {
			func(w io.Writer, _ func(string) string) { _, _ = io.WriteString(w, passed("")) },
			home.Unreachable,
		},
		"a wrong length": {
			func(w io.Writer, _ func(string) string) { _, _ = io.WriteString(w, passed("AAAA")) },
			home.Unreachable,
		},
		"a wrong padding": {func(w io.Writer, _ func(string) string) {
			_, _ = io.WriteString(w, passed(strings.Repeat("A", 43)+"="))
		}, home.Unreachable},
		"no base64": {
			func(w io.Writer, _ func(string) string) { _, _ = io.WriteString(w, passed("%%%%")) },
			home.Unreachable,
		},
		"signed out": {
			func(w io.Writer, _ func(string) string) { _, _ = io.WriteString(w, `{"error_code":-40401}`) },
			home.Unreachable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dev := insider(t, func(w http.ResponseWriter, seal func(string) string) { c.answer(w, seal) })
			b := purse()
			d := driver(t, tapocam.Options{Timeout: time.Second, Budget: b})
			f := probe(t, d, dev, both)
			if f.Verdict.State != c.state || f.Match == home.Ours && c.state != home.Stale {
				t.Errorf("found %s, %s (%s)", f.Match, f.Verdict.State, f.Verdict.Detail)
			}
			if c.state == home.Stale && (f.Device.Model != "C200" || f.Device.Name != "Door" || f.Device.Kind != home.Camera) {
				t.Errorf("named %+v", f.Device)
			}
			if err := d.Rekey(t.Context(), dev, move); err == nil {
				t.Error("rekeyed")
			}
			if b.spent[dev.ID] != 0 {
				t.Errorf("%d sign-ins are counted, and all were right", b.spent[dev.ID])
			}
		})
	}
}

func TestAHubThatSpeaksTheCamerasProtocolStaysAHub(t *testing.T) {
	for text, want := range map[string]home.Kind{
		"SMART.TAPOHUB": home.Other, "SMART.IPCAMERA": home.Camera, "SMART.TAPODOORBELL": home.Camera, "": home.Camera,
	} {
		p, ok := tapocam.ParsePlate([]byte(
			`{"device_info":{"basic_info":{"mac":"1C-61-B4-01-02-03","device_model":"H200","device_type":"` + text + `"}}}`,
		))
		if got := p.Describe(home.Device{Kind: want}); !ok || got.Kind != want {
			t.Errorf("%q is shown as %s, want %s", text, got.Kind, want)
		}
	}
}
