package cloudlink_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/npmtest"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// A hub that was written from PROTOCOL.md, in another language and over libraries that others wrote, enrols with the
// real service and signs a device in, before and after a reset.
func TestAHubInJavaScriptFollowsAReset(t *testing.T) {
	dir := npmtest.Packages(t, filepath.Join("testdata", "npm"))
	script, err := os.ReadFile(filepath.Join("testdata", "npm", "hub.js"))
	must(t, err)
	if n := strings.Count(string(script), "\n"); n >= 200 {
		t.Errorf("hub.js has %d lines: a hub has to fit below 200", n)
	}
	h := open(t, "")
	p := h.pair()
	const device = "mac-50c7bf0a0b0c"
	cmd := exec.CommandContext(t.Context(), "node", "--input-type=module", "-e", string(script), "hub", p.Reveal(), device)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	events := make(chan map[string]string, 100)
	go func() {
		defer close(events)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e map[string]string
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				events <- e
			}
		}
	}()
	t.Cleanup(func() {
		_ = in.Close() // it ends by itself
		for range events {
		}
		_ = cmd.Wait()
	})
	next := func(event string) map[string]string {
		t.Helper()
		for {
			select {
			case e, open := <-events:
				switch {
				case !open:
					t.Fatalf("it ended before %s", event)
				case e["event"] == event:
					return e
				default:
					t.Errorf("it reports %v", e)
				}
			case <-time.After(time.Minute):
				t.Fatalf("no %s", event)
			}
		}
	}
	if e := next("granted"); e["epoch"] != "1" || e["password"] != "" {
		t.Errorf("granted %v", e)
	}
	if e := next("signed-in"); e["epoch"] != "1" || !h.online()[home.DeviceID(device)] {
		t.Errorf("%v, and online: %v", e, h.online())
	}
	const second = "second-Horse-Battery"
	h.reset(second)
	if e := next("granted"); e["epoch"] != "2" || e["password"] != second {
		t.Errorf("granted %v", e)
	}
	if e := next("signed-in"); e["epoch"] != "2" || !h.online()[home.DeviceID(device)] {
		t.Errorf("%v, and online: %v", e, h.online())
	}
}
