package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// household is the released binary at work: daemons and simulated devices, with their output in a directory.
type household struct {
	program, dir string
	ends         []func()
}

// start starts the program and leaves it running.
func (h *household) start(args ...string) (pid int, err error) {
	log, err := os.Create(filepath.Join(h.dir, fmt.Sprintf("%s-%d.log", args[0], len(h.ends))))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command(h.program, args...)
	cmd.Env = environment(h.dir)
	cmd.Stdout, cmd.Stderr = log, log
	end, err := startProcess(cmd)
	if err != nil {
		return 0, err
	}
	h.ends = append(h.ends, end)
	return cmd.Process.Pid, nil
}

// end ends what was started, the last first.
func (h *household) end() {
	for _, end := range slices.Backward(h.ends) {
		end()
	}
}

// output runs the program to its end.
func (h *household) output(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, h.program, args...)
	cmd.Env = environment(h.dir)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), said(cmd, out, err)
}

func (h *household) do(ctx context.Context, stdin string, args ...string) error {
	_, err := h.output(ctx, stdin, args...)
	return err
}

// await runs the program again and again until it says something.
func (h *household) await(ctx context.Context, what string, args ...string) error {
	var last string
	err := waitFor(ctx, time.Minute, what, func() bool {
		last, _ = h.output(ctx, "", args...) // an error is a text, too
		return strings.Contains(last, what)
	})
	if err != nil {
		return fmt.Errorf("%w; last: %s", err, last)
	}
	return nil
}

// environment is what the program is started with: nothing of the caller's that would change what it does.
func environment(dir string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_STATE_HOME=" + dir}
}
