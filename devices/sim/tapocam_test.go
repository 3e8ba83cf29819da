package sim_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// The vectors of devices/PROTOCOLS.md, section 10: the fake has its own code for what the driver computes, and both
// have to agree with a third.
func TestSimulatedCamerasComputeWhatCamerasDo(t *testing.T) {
	const cnonce, nonce, body = "0001020304050607", "1011121314151617",
		`{"method":"securePassthrough","params":{"request":"AA=="}}`
	pw := home.NewSecret("great_password")
	confirm, digest, tag, lsk, ivb := sim.CamSigned(pw, false, cnonce, nonce, body, "100")
	byMD5, _, _, _, _ := sim.CamSigned(pw, true, cnonce, nonce, body, "100")
	for name, c := range map[string][2]string{
		"confirm":     {confirm, "61BD676DB3FD3F2AAC700FB1A033C217CAF17411F3AEA5A674038F8C767DFF5F"},
		"digest":      {digest, "8B1D77C9505DDF2344148E21A4B23B2A847EC2728F4AD78BA79A995C2B18EFE3"},
		"lsk":         {hex.EncodeToString(lsk), "b5a54dc4a77703159591a092554f8faf"},
		"ivb":         {hex.EncodeToString(ivb), "8bb4ef0ccfbb68f9cb6813b7784015eb"},
		"tag":         {tag, "F0EDE12B23273BB37E8D7686FF585E79EE5127F5255FF26D539D14EA580F5F83"},
		"md5 confirm": {byMD5, "BF9E48E7F19C1480D36DC42EC2408909BB58C60A2559B0530A250F13F32ED058"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: %s, want %s", name, c[0], c[1])
		}
	}
}

func TestWhatADeviceCannotHaveIsRefusedWithItsField(t *testing.T) {
	for text, want := range map[string]string{
		`[{"kind":"plug","protocol":"tapocam"}]`:                            `"kind"`,
		`[{"kind":"plug","protocol":"kasacam"}]`:                            `"kind"`,
		`[{"kind":"other","protocol":"tpap"}]`:                              `"kind"`,
		`[{"kind":"camera","protocol":"kasacam","model":"C200"}]`:           `"model"`,
		`[{"kind":"camera","protocol":"tapocam","defects":["curt"]}]`:       `"defects"`,
		`[{"kind":"camera","protocol":"kasacam","defects":["hashed"]}]`:     `"defects"`,
		`[{"kind":"camera","protocol":"tpap","defects":["flapping"]}]`:      `"defects"`,
		`[{"kind":"camera","protocol":"tapocam","locks":-1}]`:               `"locks"`,
		`[{"kind":"camera","protocol":"tapocam","locks":"ten"}]`:            `"locks"`,
		`[{"kind":"camera","protocol":"tapocam","locks":1001}]`:             `"locks"`,
		`[{"kind":"camera","protocol":"tpap","locks":3}]`:                   "",
		`[{"kind":"plug","protocol":"iot","locks":3}]`:                      `"locks"`,
		`[{"kind":"camera","protocol":"tapocam","locks":3}]`:                "",
		`[{"kind":"camera","protocol":"tapocam","defects":["md5"]}]`:        "",
		`[{"kind":"camera","protocol":"kasacam","model":"EC60"}]`:           "",
		`[{"kind":"bulb","protocol":"tpap","username":"a","password":"b"}]`: "",
	} {
		refused(t, text, want)
	}
}

// refused checks that a house is refused for what is wrong, or taken where nothing is.
func refused(t *testing.T, text, want string) {
	t.Helper()
	_, err := sim.ReadHouse(strings.NewReader(text))
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%s: got %v, want something of %s", text, err, want)
	}
}
