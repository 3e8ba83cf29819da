package pairing_test

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func some(secret string) pairing.Pairing {
	return pairing.Pairing{
		Name: "pair-1", Secret: home.NewSecret(secret), Account: "acc-1",
		Service: wire.Keys{Sign: make([]byte, 32), Seal: make([]byte, 32)},
		Brokers: []wire.Broker{{URL: "mqtt://127.0.0.1:7355", Fingerprint: make([]byte, 32)}}, URL: "http://127.0.0.1:7354",
	}
}

const secret = "s3cret-of-128-bits-and-more"

func TestAPairingSurvivesItsWord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := some(rapid.StringMatching(`[A-Z2-7]{26,60}`).Draw(t, "secret"))
		p.Name = rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,30}`).Draw(t, "name")
		p.Service.Sign = rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "sign")
		p.Brokers = wire.Brokers(rapid.SliceOfN(
			rapid.StringMatching(`mqtts?://[a-z]{1,9}:[0-9]{1,4}`), 1, 4,
		).Draw(t, "brokers"))
		got, err := pairing.Parse(" " + p.Reveal() + "\n")
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Fatalf("%v: %+v", err, got)
		}
	})
}

func TestAMalformedWordIsRefusedAndNotRepeated(t *testing.T) {
	word := some(secret).Reveal()
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(word, "rekeyd-pair:"))
	if err != nil {
		t.Fatal(err)
	}
	again := func(from, to string) string {
		if !strings.Contains(string(raw), from) {
			t.Fatalf("the word holds no %s", from)
		}
		return "rekeyd-pair:" + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(raw), from, to, 1)))
	}
	for _, bad := range []string{
		"", "rekeyd-pair:", word[1:], strings.TrimPrefix(word, "rekeyd-pair:"), word[:len(word)/2], word + "!",
		strings.ToUpper(word),
		again(secret, "short"), again(`"pair-1"`, `"Pair 1/#"`), again(`"acc-1"`, `""`),
		again(
			`[{"url":"mqtt://127.0.0.1:7355","fingerprint":"`+base64.StdEncoding.EncodeToString(make([]byte, 32))+`"}]`, `[]`,
		),
		again(base64.StdEncoding.EncodeToString(make([]byte, 32)), "AAAA"),
	} {
		_, err := pairing.Parse(bad)
		if err == nil {
			t.Errorf("%q is taken", bad)
			continue
		}
		if strings.Contains(err.Error(), secret) || len(bad) > 20 && strings.Contains(err.Error(), bad[12:20]) {
			t.Errorf("the error holds the word: %v", err)
		}
	}
}

func TestAPairingPrintsNoSecret(t *testing.T) {
	p := some(secret)
	for _, f := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if s := fmt.Sprintf(f, p); strings.Contains(s, secret) {
			t.Errorf("%s shows the secret", f)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(some(secret).Reveal())
	f.Add("rekeyd-pair:")
	f.Add("rekeyd-pair:e30")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := pairing.Parse(s)
		if err != nil {
			return
		}
		if again, err := pairing.Parse(p.Reveal()); err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("read as %+v, and again as %+v, %v", p, again, err)
		}
	})
}
