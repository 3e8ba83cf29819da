package smart_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/npmtest"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// npmAnswer is what a client that others wrote has learned.
type npmAnswer struct {
	Mac, Nickname, Error string
	On                   bool
}

// npmAsk has that client sign in and switch the device on.
func npmAsk(t *testing.T, dir, transport string, d *sim.Device, username, password string) npmAnswer {
	t.Helper()
	script, err := os.ReadFile(filepath.Join("testdata", "npm", "client.js"))
	if err != nil {
		t.Fatal(err)
	}
	// Some versions of node do not open a sealed handshake without an option; others do not know
	// that option.
	for _, flags := range [][]string{nil, {"--security-revert=CVE-2023-46809"}} {
		cmd := exec.CommandContext(
			t.Context(),
			"node",
			append(flags, "-e", string(script), "client", transport, d.Addr().Addr().String(), username, password)...)
		cmd.Dir = dir
		raw, err := cmd.Output()
		var answer npmAnswer
		line := raw[bytes.LastIndexByte(bytes.TrimSpace(raw), '\n')+1:]
		if err != nil || json.Unmarshal(line, &answer) != nil {
			t.Fatalf("it printed %q, %v", raw, err)
		}
		if !strings.Contains(answer.Error, "RSA_PKCS1_PADDING") {
			return answer
		}
	}
	nettest.Missing(t, "this node opens no handshake")
	return npmAnswer{}
}

// A client that others wrote opens the simulated devices with what they hold, and with nothing else; and with the new
// password after a rekey. So the devices are not as they are only because the drivers are.
func TestAClientThatOthersWroteSeesTheSame(t *testing.T) {
	dir := npmtest.Packages(t, filepath.Join("testdata", "npm"))
	if !nettest.InNamespace(t) {
		return
	}
	ds := play(t, plug(email, "old-password"), older(email, "old-password", sim.Lv1)) // it knows the password itself only
	d, _ := eager(t)
	for i, c := range []struct {
		transport string
		driver    either
	}{{"klap", driver(t)}, {"secure-passthrough", d}} {
		opens := func(password string) bool {
			answer := npmAsk(t, dir, c.transport, ds[i], email, password)
			mac := "mac-" + strings.ToLower(strings.ReplaceAll(answer.Mac, "-", ""))
			if ok := answer.Error == ""; ok && (mac != string(ds[i].ID()) || answer.Nickname != ds[i].Name() || !answer.On) {
				t.Errorf("%s: learned %+v", c.transport, answer)
			}
			return answer.Error == ""
		}
		if !opens("old-password") || opens("new-password") {
			t.Errorf("%s: it does not open with what it holds, or with something else", c.transport)
		}
		if err := c.driver.Rekey(t.Context(), seen(ds[i]),
			agreedMove); err != nil {
			t.Errorf("%s: %v", c.transport, err)
		}
		if !opens("new-password") {
			t.Errorf("%s: it does not open with the new password", c.transport)
		}
	}
}
