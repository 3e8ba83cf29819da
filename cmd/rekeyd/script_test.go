package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"rekeyd": main})
}

// TestScripts runs the command line as text, each script in a network of its own: the ports and the multicast in there
// reach no other process.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("scripts: %v, %v", files, err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) {
			t.Parallel()
			if !nettest.InNamespace(t) {
				return
			}
			testscript.Run(t, testscript.Params{
				Files: []string{f},
				Setup: func(e *testscript.Env) error {
					e.Setenv("HOME", e.WorkDir)
					e.Setenv("XDG_STATE_HOME", e.WorkDir)
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){"await": await, "exits": exits, "v1call": v1call},
			})
		})
	}
}

// await runs a command again and again until its output matches: await REGEXP COMMAND…
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await REGEXP COMMAND…")
	}
	want := regexp.MustCompile("(?s)" + args[0])
	var out []byte
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		cmd := exec.Command(args[1], args[2:]...)
		cmd.Dir = ts.MkAbs(".")
		cmd.Env = environ(ts)
		if out, _ = cmd.CombinedOutput(); want.Match(out) {
			return
		}
	}
	ts.Fatalf("%q never printed %s; last:\n%s", args[1:], args[0], out)
}

// v1call calls the account service's API as an app does: v1call [-token NAME] METHOD PARAMS [token NAME]. In PARAMS,
// "@alias" stands for the id of the device that is called so, by the last getDeviceList. The answer is on standard
// output; with token, the token that it brings is kept as NAME.
func v1call(ts *testscript.TestScript, neg bool, args []string) {
	token := ""
	if len(args) > 2 && args[0] == "-token" {
		token, args = ts.ReadFile("token-"+args[1]), args[2:]
	}
	if neg || len(args) != 2 && len(args) != 4 {
		ts.Fatalf("usage: v1call [-token NAME] METHOD PARAMS [token NAME]")
	}
	params := regexp.MustCompile(`"@([a-z ]+)"`).ReplaceAllStringFunc(args[1], func(s string) string {
		var ds []struct{ Alias, DeviceID string }
		ts.Check(json.Unmarshal([]byte(ts.ReadFile("devices")), &ds))
		for _, d := range ds {
			if d.Alias == strings.Trim(s, `"@`) {
				return `"` + d.DeviceID + `"`
			}
		}
		ts.Fatalf("no device is called %s", s)
		return ""
	})
	resp, err := http.Post(
		defaultAccountURL+"/?token="+url.QueryEscape(token),
		"application/json",
		strings.NewReader(`{"method":"`+args[0]+`","params":`+params+`}`),
	)
	ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ts.Check(err)
	var r struct {
		Result struct {
			Token      string
			DeviceList json.RawMessage
		}
	}
	ts.Check(json.Unmarshal(answer, &r))
	if len(r.Result.DeviceList) > 0 {
		ts.Check(os.WriteFile(ts.MkAbs("devices"), r.Result.DeviceList, 0o600))
	}
	if len(args) == 4 {
		ts.Check(os.WriteFile(ts.MkAbs("token-"+args[3]), []byte(r.Result.Token), 0o600))
	}
	ts.Logf("%s", answer)
	_, _ = ts.Stdout().Write(answer)
}

// exits runs a command that must end with a code: exits CODE COMMAND…
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, args[1], args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = environ(ts)
	out, _ := cmd.CombinedOutput()
	ts.Logf("%s", out)
	if got := fmt.Sprint(cmd.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("%q ended with %s, want %s", args[1:], got, args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs("output"), out, 0o600))
}

func environ(ts *testscript.TestScript) []string {
	env := os.Environ()
	for _, k := range []string{"PATH", "HOME", "XDG_STATE_HOME", "WORK"} {
		env = append(env, k+"="+ts.Getenv(k))
	}
	return env
}
