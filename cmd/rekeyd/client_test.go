package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/npmtest"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// TestAClientOfTheCloudThatOthersWroteWorksUnchanged runs npm's tplink-cloud-api against the real daemon and a house of
// simulated devices: it signs in, lists, switches, and after a change of the password receives the vendor's codes.
func TestAClientOfTheCloudThatOthersWroteWorksUnchanged(t *testing.T) {
	t.Parallel()
	dir := npmtest.Packages(t, filepath.Join("testdata", "npm"))
	if !nettest.InNamespace(t) {
		return
	}
	script, err := os.ReadFile(filepath.Join("testdata", "npm", "cloud.js"))
	ok(t, err)
	const first, second = "first-Horse-Battery", "second-Horse-Battery"
	r := newRig(t, "plug:iot=1,bulb:iot=1")
	r.setUp(first)
	cmd := exec.CommandContext(
		t.Context(), "node", "-e", string(script), "client", defaultAccountURL, rigEmail, first, "wrong-Horse-Battery",
	)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	in, err := cmd.StdinPipe()
	ok(t, err)
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	lines := make(chan string, 4)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	answer := func() (v map[string]any) {
		t.Helper()
		select {
		case line := <-lines:
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Fatalf("the client printed %q: %v", line, err)
			}
		case <-time.After(time.Minute):
			t.Fatal("the client prints nothing")
		}
		return v
	}
	got := fmt.Sprint(answer())
	const want = "map[bulb:bulb-1 devices:[bulb-1 IOT.SMARTBULB 1 plug-1 IOT.SMARTPLUGSWITCH 1] off:0 on:1 wrong:-20601]"
	if got != want {
		t.Errorf("the client saw\n%s, want\n%s", got, want)
	}
	ok(t, r.change(first, second))
	_, err = in.Write([]byte("\n"))
	ok(t, err)
	if got := fmt.Sprint(answer()); got != "map[list:-20651 old:-20601 plug:-20651]" {
		t.Errorf("after a change of the password the client saw %s", got)
	}
	r.await("the house on the new password", time.Minute, allCurrent(2, 2))
}
