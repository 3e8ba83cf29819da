package discover

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// TestTheShortQuestion is the vector of devices/PROTOCOLS.md, section 6.2.
func TestTheShortQuestion(t *testing.T) {
	if got := hex.EncodeToString(packet(0, nil)); got != "020000010000000000000000463cb5d3" {
		t.Error(got)
	}
	ask := Tapo()[0]
	if got := ask.Datagrams(); len(got) != 1 || !bytes.Equal(got[0], packet(0, nil)) {
		t.Errorf("before there is a key: %x", got)
	}
}

func TestTheLongQuestionHasAKeyAndAChecksum(t *testing.T) {
	probes := Tapo()
	probes[0].(tapo).prepare()
	if probes[0].Port() != 20002 || probes[1].Port() != 20004 {
		t.Error("asked on other ports")
	}
	all := probes[1].Datagrams() // they share the key
	if len(all) != 2 {
		t.Fatalf("%d forms", len(all))
	}
	p := bytes.Clone(all[1])
	if p[0] != 2 || p[3] != 1 || p[6] != 0x11 || int(binary.BigEndian.Uint16(p[4:])) != len(p)-16 {
		t.Errorf("header %x", p[:16])
	}
	sum := binary.BigEndian.Uint32(p[12:])
	binary.BigEndian.PutUint32(p[12:], 0x5A6B7C8D)
	if crc32.ChecksumIEEE(p) != sum {
		t.Error("the checksum does not hold")
	}
	var q struct{ Params map[string]string }
	if err := json.Unmarshal(p[16:], &q); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(q.Params["rsa_key"]))
	if block == nil {
		t.Fatal("no PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if k, ok := key.(*rsa.PublicKey); err != nil || !ok || k.N.BitLen() != 2048 {
		t.Errorf("key %v, %v", key, err)
	}
}

// reply is what a device answers.
func replyOf(result string) []byte {
	return append([]byte{2, 0, 0, 1, 0, 0, 0x22, 1, 0, 0, 0, 0, 0, 0, 0, 0}, `{"error_code":0,"result":`+result+`}`...)
}

func TestRepliesAreClassified(t *testing.T) {
	const anna, mac = "DC4BD202DC4BD202DC4BD202DC4BD202", `"mac":"5C-E9-31-01-02-03","device_id":"x"`
	scheme := func(typ, model, encrypt, rest string) string {
		return `{` + mac + `,"device_type":"` + typ + `","device_model":"` + model + `","owner":"` + anna +
			`","mgt_encrypt_schm":{"encrypt_type":"` + encrypt + `"` + rest + `}}`
	}
	for _, c := range []struct {
		result   string
		protocol home.Protocol
		port     uint16
		kind     home.Kind
		owner    string
	}{
		{
			scheme("IOT.SMARTPLUGSWITCH", "HS110(EU)", "KLAP", `,"http_port":80`), home.KLAP1, 80, home.Plug,
			strings.ToLower(anna),
		},
		{
			scheme("IOT.SMARTPLUGSWITCH", "HS220(US)", "KLAP", `,"new_klap":1`), home.IOTKLAP2, 80, home.Switch,
			strings.ToLower(anna),
		},
		{scheme("IOT.SMARTBULB", "KL135(US)", "KLAP", `,"lv":2`), home.IOTKLAP2, 80, home.Bulb, strings.ToLower(anna)},
		{
			scheme("SMART.TAPOPLUG", "P110M(EU)", "KLAP", `,"lv":2,"http_port":8080`), home.KLAP2, 8080, home.Plug,
			strings.ToLower(anna),
		},
		{scheme("SMART.KASASWITCH", "KS205(US)", "KLAP", ``), home.KLAP2, 80, home.Switch, strings.ToLower(anna)},
		{scheme("SMART.TAPOBULB", "L530E(EU)", "AES", `,"lv":2`), home.SmartAES, 80, home.Bulb, strings.ToLower(anna)},
		{scheme("SMART.TAPOHUB", "H100(EU)", "KLAP", ``), home.KLAP2, 80, home.Other, strings.ToLower(anna)},
		{
			scheme("SMART.TAPOROBOVAC", "RV20(US)", "KLAP", `,"is_support_https":true,"http_port":4433`), "", 0, home.Other,
			strings.ToLower(anna),
		},
		{scheme("SMART.TAPOPLUG", "P100(EU)", "TPAP", ``), home.TPAP, 80, home.Plug, strings.ToLower(anna)},
		{
			scheme("SMART.TAPOBULB", "L610(EU)", "TPAP", `,"is_support_https":false,"http_port":80,"lv":2`), home.TPAP, 80,
			home.Bulb, strings.ToLower(anna),
		},
		{
			scheme("SMART.TAPOBULB", "L530E(EU)", "KLAP", `,"lv":2,"tpap_preferred":false`), home.KLAP2, 80, home.Bulb,
			strings.ToLower(anna),
		},
		{
			scheme("SMART.TAPOROBOVAC", "RV30(US)", "TPAP", `,"is_support_https":true,"lv":2`), home.TPAP, 4433, home.Other,
			strings.ToLower(anna),
		},
		{
			`{` + mac + `,"device_type":"SMART.TAPOROBOVAC","mgt_encrypt_schm":{"encrypt_type":"TPAP"},"tpap":{"tls":2,` +
				`"pake":[2],"port":8443}}`,
			home.TPAP, 8443, home.Other, "",
		},
		{
			`{` + mac + `,"device_type":"SMART.TAPOBULB","mgt_encrypt_schm":{"encrypt_type":"TPAP"},"tpap":{"tls":0,` +
				`"pake":[2],"port":80}}`,
			home.TPAP, 80, home.Bulb, "",
		},
		{
			`{` + mac + `,"device_type":"SMART.IPCAMERA","encrypt_type":["4"],"mgt_encrypt_schm":{"is_support_https":true},` +
				`"tpap":{"tls":"x","port":-1}}`,
			home.TPAP, 443, home.Camera, "",
		},
		{scheme("SMART.TAPOPLUG", "P9", "ROT13", ``), "", 0, home.Plug, strings.ToLower(anna)},
		{scheme("IOT.IPCAMERA", "EC60(US)", "", ``), home.KasaCam, 10443, home.Camera, strings.ToLower(anna)},
		{
			`{` + mac + `,"device_type":"SMART.IPCAMERA","device_model":"C210","encrypt_type":["3"],` +
				`"mgt_encrypt_schm":{"is_support_https":true}}`,
			home.TapoCam, 443, home.Camera, "",
		},
		{
			`{` + mac + `,"device_type":"SMART.IPCAMERA","device_model":"C100","encrypt_type":["2"]}`, home.TapoCam, 443,
			home.Camera, "",
		},
		{
			`{` + mac + `,"device_type":"SMART.TAPOHUB","device_model":"H200","encrypt_type":["3"],` +
				`"mgt_encrypt_schm":{"is_support_https":true}}`, home.TapoCam, 443, home.Other, "",
		},
		{
			`{` + mac + `,"device_type":"SMART.TAPODOORBELL","device_model":"D230","encrypt_type":"3"}`, home.TapoCam, 443,
			home.Camera, "",
		},
		{
			`{` + mac + `,"device_type":"SMART.IPCAMERA","device_model":"C101","encrypt_type":["4"],` +
				`"mgt_encrypt_schm":{"is_support_https":true,"http_port":443}}`,
			home.TPAP, 443, home.Camera, "",
		},
		{
			`{` + mac + `,"device_type":"SMART.TAPOPLUG","owner":"","mgt_encrypt_schm":{"encrypt_type":"KLAP"}}`, home.KLAP2,
			80, home.Plug, home.NoOwner,
		},
		{
			`{` + mac + `,"device_type":"SMART.TAPOPLUG","owner":"D41D8CD98F00B204E9800998ECF8427E",` +
				`"mgt_encrypt_schm":{"encrypt_type":"KLAP"}}`,
			home.KLAP2, 80, home.Plug, home.NoOwner,
		},
		{
			`{` + mac + `,"device_type":"SMART.TAPOPLUG","owner":"` + anna + `","factory_default":true,` +
				`"mgt_encrypt_schm":{"encrypt_type":"KLAP"}}`,
			home.KLAP2, 80, home.Plug, home.NoOwner,
		},
		{`{` + mac + `,"device_type":7,"owner":{"a":1},"mgt_encrypt_schm":"KLAP","encrypt_type":9}`, "", 0, home.Other, ""},
	} {
		s, err := Tapo()[0].Read(replyOf(c.result))
		s = withAddr(s, netip.MustParseAddrPort("127.0.0.9:20002"))
		port := c.port
		if port == 0 {
			port = 20002
		}
		if err != nil || s.Protocol != c.protocol || s.Addr.Port() != port || s.Kind != c.kind || s.Owner != c.owner ||
			s.Keys[0] != "mac:5ce931010203" ||
			(s.Match == home.Unbound) != (c.owner == home.NoOwner) {
			t.Errorf("%s\ngives %s at %s, %s, owner %q, %s, %v", c.result, s.Protocol, s.Addr, s.Kind, s.Owner, s.Match, err)
		}
	}
}

// hide hides what a camera hides, under the key of a question.
func hide(t *testing.T, key *rsa.PublicKey, plain string) string {
	t.Helper()
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	sealed, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, key, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := aes.NewCipher(secret[:16])
	pad := 16 - len(plain)%16
	data := append([]byte(plain), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, secret[16:]).CryptBlocks(data, data)
	enc := base64.StdEncoding.EncodeToString
	return fmt.Sprintf(`{"sym_schm":"AES","key":%q,"data":%q}`, enc(sealed), enc(data))
}

func TestWhatACameraHidesIsRead(t *testing.T) {
	ask := Tapo()[0].(tapo)
	ask.prepare()
	camera := func(info string) string {
		return `{"mac":"1C-61-B4-01-02-03","device_type":"SMART.IPCAMERA",` +
			`"device_name":"Front door\u0007","encrypt_type":["3"],` +
			`"firmware_version":"1.4.0","encrypt_info":` + info + `}`
	}
	const secrets = `{"owner":"720EDB77E1947F066E78E008AA59C5B3","http_port":8443,"connect_ssid":"the neighbours",` +
		`"sd_status":"offline"}`
	info := hide(t, &ask.key.key.PublicKey, secrets)
	for range 2 { // the second time from memory
		s, err := ask.Read(replyOf(camera(info)))
		if err != nil || s.Name != "Front door" || s.Owner != home.OwnerOf("test@tp-link.net") || s.Addr.Port() != 8443 {
			t.Errorf("%+v, %v", s, err)
		}
		if !strings.Contains(string(s.Extra), `"sd_status":"offline"`) ||
			!strings.Contains(string(s.Extra), "firmware_version") ||
			strings.Contains(string(s.Extra), "neighbours") ||
			strings.Contains(string(s.Extra), "encrypt_info") {
			t.Errorf("kept of the rest: %s", s.Extra)
		}
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, info := range map[string]string{
		"other people's key": hide(t, &other.PublicKey, secrets), "no JSON": hide(t, &ask.key.key.PublicKey, "hello"),
		"nothing": `{}`, "no object": `[1]`,
		"cut": `{"key":"AAAA","data":"AAAA"}`, "not of base64": `{"key":"!","data":"!"}`,
	} {
		s, err := ask.Read(replyOf(camera(info)))
		if err != nil || s.Owner != "" || s.Protocol != home.TapoCam || s.Addr.Port() != 443 {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func TestWhatIsKeptOfARestIsBounded(t *testing.T) {
	var b strings.Builder
	for i := range 500 {
		fmt.Fprintf(&b, `,"field_%03d":"%s"`, i, strings.Repeat("<", 20))
	}
	s, err := Tapo()[0].Read(replyOf(`{"mac":"5C-E9-31-01-02-03","a\u001b[2J":1,"connect_ssid":"x"` + b.String() + `}`))
	if err != nil || len(s.Extra) > maxExtra || len(s.Extra) == 0 && b.Len() < 0 ||
		!json.Valid([]byte(s.Extra)) && s.Extra != "" {
		t.Errorf("%d bytes, %v", len(s.Extra), err)
	}
}

func TestAReplyThatIsNoneIsRefused(t *testing.T) {
	for _, raw := range [][]byte{
		nil, []byte("hello"), packet(0, nil), replyOf(`null`), replyOf(`{}`), replyOf(`[]`),
		replyOf(`{"mac":"00-00-00-00-00-00"}`), replyOf(`{"mac":7}`),
		replyOf(`{"mac":"5C-E9-31-01-02-03"}`)[:40], replyOf(strings.Repeat("[", 9000)),
		append([]byte{1}, replyOf(`{"mac":"5C-E9-31-01-02-03"}`)[1:]...),
		bytes.Replace(replyOf(`{"mac":"5C-E9-31-01-02-03"}`), []byte(`"error_code":0`), []byte(`"error_code":-1`), 1),
	} {
		if s, err := Tapo()[0].Read(raw); err == nil {
			t.Errorf("%.60q is taken for %+v", raw, s)
		}
	}
}

// Law: whatever comes, a reply that is taken has a key, and what is kept of it is bounded and fit to be shown.
func FuzzTapoReply(f *testing.F) {
	ask := Tapo()[0].(tapo)
	ask.prepare()
	f.Add(
		[]byte(
			`{"mac":"5C-E9-31-01-02-03","device_type":"SMART.TAPOPLUG","owner":"x",` +
				`"mgt_encrypt_schm":{"encrypt_type":"KLAP","new_klap":1}}`,
		),
	)
	f.Add(
		[]byte(
			`{"mac":"5C-E9-31-01-02-03","encrypt_type":["3"],"encrypt_info":{"key":"AAAA","data":"AAAAAAAAAAAAAAAAAAAAAA=="}}`,
		),
	)
	f.Add([]byte(`{"mac":"5C-E9-31-01-02-03","mgt_encrypt_schm":{"http_port":99999,"lv":"2"}}`))
	f.Fuzz(func(t *testing.T, result []byte) {
		s, err := ask.Read(replyOf(string(result)))
		if err != nil {
			return
		}
		if len(s.Keys) == 0 || len(s.Extra) > maxExtra || s.Extra != "" && !json.Valid([]byte(s.Extra)) ||
			strings.ContainsFunc(s.Model+s.Owner, func(r rune) bool { return r < ' ' }) {
			t.Errorf("%q gives %+v", result, s)
		}
	})
}
