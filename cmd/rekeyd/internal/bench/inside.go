package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// inside is the first argument of this program where it runs in a namespace of its own.
const inside = "inside"

// tasks are what can be run there. What they return goes to the caller as JSON.
var tasks = map[string]func(ctx context.Context, args []string) (any, error){
	"devices": devicesInside,
	"kasa":    kasaInside,
	"idle":    idleInside,
	"mdns":    mdnsInside,
}

// inNamespace starts this program again in a network namespace of its own, whose loopback interface is up and takes multicast, and has it do
// a task. What the task returns is in out. It returns errMissing where namespaces cannot be made.
func inNamespace(ctx context.Context, out any, task string, args ...string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("a network namespace is %w: this is not root", errMissing)
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return fmt.Errorf("iproute2 is %w", errMissing)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// The shell brings the network up before the first thread of the program looks at it.
	up := `mount --make-rprivate / && ip link set lo up multicast on && ip route add 224.0.0.0/4 dev lo && exec "$0" "$@"`
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", up, self, inside, task}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it ends what it has started
	cmd.WaitDelay = 15 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(stderr.String())
		if strings.Contains(said, "not permitted") {
			return fmt.Errorf("a network namespace is %w: %s", errMissing, said)
		}
		return fmt.Errorf("%s in a namespace: %w: %s", task, err, said)
	}
	return json.Unmarshal(stdout.Bytes(), out)
}

// runInside does a task and returns the exit code.
func runInside(ctx context.Context, task string, args []string) int {
	do, ok := tasks[task]
	if !ok {
		fmt.Fprintf(os.Stderr, "no such task: %s\n", task)
		return 2
	}
	result, err := do(ctx, args)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(result)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// said is a command's error with what it printed.
func said(cmd *exec.Cmd, out []byte, err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.Join(cmd.Args, " ") + ": " + err.Error() + ": " + strings.TrimSpace(string(out)))
}
