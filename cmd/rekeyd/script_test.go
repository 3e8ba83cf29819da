package main

import (
	"fmt"
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

// TestScripts runs the command line as text, each script in a network of its own: the ports and the multicast in there are
// heard by nobody else.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("scripts: %v, %v", files, err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) {
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
				Cmds: map[string]func(*testscript.TestScript, bool, []string){"await": await, "exits": exits},
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
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		cmd := exec.Command(args[1], args[2:]...)
		cmd.Dir = ts.MkAbs(".")
		cmd.Env = environ(ts)
		if out, _ = cmd.CombinedOutput(); want.Match(out) {
			return
		}
	}
	ts.Fatalf("%q never printed %s; last:\n%s", args[1:], args[0], out)
}

// exits runs a command that must end with a code: exits CODE COMMAND…
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = environ(ts)
	out, _ := cmd.CombinedOutput()
	ts.Logf("%s", out)
	if got := fmt.Sprint(cmd.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("%q ended with %s, want %s", args[1:], got, args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs("said"), out, 0o600))
}

func environ(ts *testscript.TestScript) []string {
	env := os.Environ()
	for _, k := range []string{"PATH", "HOME", "XDG_STATE_HOME", "WORK"} {
		env = append(env, k+"="+ts.Getenv(k))
	}
	return env
}
