package drivertest

import (
	"encoding/base64"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/xor"
)

// The expected values come from md5sum, sha1sum and sha256sum.
func TestARecorderKnowsTheFormsOfASecret(t *testing.T) {
	c := home.Candidates{Credentials: []home.Credential{
		{Epoch: 4, Username: "ann@example.org", Password: home.NewSecret("old-password")},
	}}
	found := func(sent []byte) bool {
		for _, f := range forms(c) {
			if seen(sent, f.bytes) {
				return true
			}
		}
		return false
	}
	for name, sent := range map[string][]byte{
		"in the clear":      []byte(`{"password":"old-password"}`),
		"base64":            []byte(base64.StdEncoding.EncodeToString([]byte("old-password"))),
		"MD5, upper case":   []byte("575BBFEEF07CE3C765C1C1D7B831D28D"),
		"SHA-1":             []byte("4f18148f379e9dd0665c1d700b00381e2d5cc1f6"),
		"SHA-256":           []byte("ab600ad41f0ad78d3c8f0b76ee7c9136094d87739e14645c54ef6e9ffe26f9d1"),
		"on port 9999":      xor.Seal([]byte(`{"cnCloud":{"bind":{"password":"old-password"}}}`)),
		"hash on port 9999": xor.Seal([]byte(`{"key":"4f18148f379e9dd0665c1d700b00381e2d5cc1f6"}`)),
	} {
		if !found(sent) {
			t.Errorf("%s is not recognised", name)
		}
	}
	if found([]byte("GET / HTTP/1.1")) || found(xor.Seal([]byte(`{"system":{"get_sysinfo":{}}}`))) {
		t.Error("found a secret where there is none")
	}
}
