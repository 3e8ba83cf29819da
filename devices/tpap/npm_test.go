package tpap_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/npmtest"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/drivertest"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// iobroker is the client that others wrote: what a device answered to it, or what went wrong.
type iobroker struct {
	Answer json.RawMessage
	Error  string
}

// iobrokerAsk has the client sign in with a password and send one request.
func iobrokerAsk(t *testing.T, dir string, d *sim.Device, password, request string) iobroker {
	t.Helper()
	script, err := os.ReadFile(filepath.Join("testdata", "npm", "client.js"))
	if err != nil {
		t.Fatal(err)
	}
	mac := strings.TrimPrefix(string(d.ID()), "mac-")
	tls := strconv.FormatBool(d.Kind() == home.Camera)
	cmd := exec.CommandContext(t.Context(), "node", "-e", string(script), "client",
		d.Addr().Addr().String(), strconv.Itoa(int(d.Addr().Port())), tls, email, password, mac, request)
	cmd.Dir = dir
	raw, err := cmd.Output()
	var reply iobroker
	line := raw[bytes.LastIndexByte(bytes.TrimSpace(raw), '\n')+1:]
	if err != nil || json.Unmarshal(line, &reply) != nil {
		t.Fatalf("it printed %q, %v", raw, err)
	}
	return reply
}

// A client that others wrote signs in to the simulated devices with what they hold, and with nothing else. So the
// devices are not as they are only because the driver is. It tries three forms of a password: a wrong one costs three
// attempts, a camera's right one two.
func TestAClientThatOthersWroteSignsIn(t *testing.T) {
	dir := npmtest.Packages(t, filepath.Join("testdata", "npm"))
	if !nettest.InNamespace(t) {
		return
	}
	for _, c := range []struct {
		spec                sim.Spec
		password            string
		request             string
		wrong, wrongAttempt int
	}{
		{
			sim.Spec{Kind: home.Plug, Username: email, Password: oldPair.Password},
			"old-password",
			`{"method":"get_device_info"}`, 0, 3,
		},
		{
			sim.Spec{Kind: home.Camera, Username: email, Password: oldPair.Password},
			"old-password",
			`{"method":"multipleRequest","params":{"requests":[{"method":"getDeviceInfo","params":{}}]}}`, 1, 4,
		},
		{sim.Spec{Kind: home.Bulb}, "", `{"method":"get_device_info"}`, 0, 0}, // by the passcode of its hardware address
	} {
		c.spec.Protocol = home.TPAP
		d := play(t, c.spec)[0]
		mac := strings.ToUpper(strings.TrimPrefix(string(d.ID()), "mac-"))
		reply := iobrokerAsk(t, dir, d, c.password, c.request)
		if answer := strings.ReplaceAll(string(reply.Answer), "-", ""); reply.Error != "" || !strings.Contains(answer, mac) {
			t.Errorf("%s: %+v, answered %s", c.spec.Kind, reply, reply.Answer)
		}
		if wrong, _ := d.SignIns(); wrong != c.wrong {
			t.Errorf("%s: the right password cost %d attempts", c.spec.Kind, wrong)
		}
		if c.spec.Username == "" {
			continue
		}
		if reply := iobrokerAsk(t, dir, d, "new-password", c.request); !strings.Contains(reply.Error, "pake_share failed") {
			t.Errorf("%s: a wrong password: %+v", c.spec.Kind, reply)
		}
		if wrong, _ := d.SignIns(); wrong != c.wrongAttempt {
			t.Errorf("%s: a right and a wrong password cost %d attempts", c.spec.Kind, wrong)
		}
		err := patient{driver(t, drivertest.NewDisk())}.Rekey(t.Context(), seen(d), order)
		if reply := iobrokerAsk(t, dir, d, "new-password", c.request); err != nil || reply.Error != "" {
			t.Errorf("%s: after a move (%v): %+v", c.spec.Kind, err, reply)
		}
		if reply := iobrokerAsk(t, dir, d, "old-password", c.request); reply.Error == "" {
			t.Errorf("%s: after a move: the old password opens it", c.spec.Kind)
		}
	}
}
