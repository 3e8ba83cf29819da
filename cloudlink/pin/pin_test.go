package pin_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/pin"
)

func TestAFingerprintIsWellFormedOrRefused(t *testing.T) {
	good := strings.Repeat("ab", 32)
	for text, want := range map[string]bool{
		"mqtts://h#sha256=" + good:                     true,
		"wss://h#sha256=" + strings.ToUpper(good):      true,
		"https://h/path#sha256=" + good:                true,
		"https://h":                                    true,
		"http://h#sha256=" + good:                      false,
		"mqtt://h#sha256=" + good:                      false,
		"mqtts://h#sha256=" + good[2:]:                 false,
		"mqtts://h#sha1=" + good:                       false,
		"mqtts://h#" + good:                            false,
		"mqtts://h#sha256=" + strings.Repeat("zz", 32): false,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := pin.Of(u)
		if (err == nil) != want || (sum != nil) != (want && u.Fragment != "") {
			t.Errorf("%s: %x, %v", text, sum, err)
		}
	}
}

func TestAddAndOfAreInverse(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	if got := pin.Add(srv.URL, ""); got != srv.URL {
		t.Errorf("without a fingerprint: %s", got)
	}
	u, err := url.Parse(pin.Add(srv.URL, pin.Fingerprint(srv.Certificate().Raw)))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := pin.Of(u)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sum  []byte
		want bool
	}{{sum, true}, {make([]byte, len(sum)), false}} {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: pin.Config(c.sum), DisableKeepAlives: true}}
		resp, err := client.Get(srv.URL)
		if err == nil {
			resp.Body.Close()
		}
		if (err == nil) != c.want {
			t.Errorf("with the fingerprint %x: %v", c.sum, err)
		}
	}
}
