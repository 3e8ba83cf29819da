package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// errMissing is a program that is not installed: what needs it is left out, and the report says so.
var errMissing = errors.New("not installed")

// startMosquitto starts Debian's mosquitto on a port of loopback, and keeps nothing of it: neither sessions nor messages go to disk,
// as with the embedded broker. stop ends it.
func startMosquitto(ctx context.Context, in string) (url string, stop func(), err error) {
	program, err := lookPath("mosquitto")
	if err != nil {
		return "", nil, fmt.Errorf("mosquitto is %w (Debian: mosquitto)", errMissing)
	}
	dir, err := os.MkdirTemp(in, "rekeyd-bench-")
	if err != nil {
		return "", nil, err
	}
	port, err := freePort()
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	conf := filepath.Join(dir, "mosquitto.conf")
	text := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type none\nmax_queued_messages 10000\nuser root\n", port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	cmd := exec.Command(program, "-c", conf)
	end, err := startProcess(cmd)
	stop = func() {
		if end != nil {
			end()
		}
		_ = os.RemoveAll(dir)
	}
	if err == nil {
		err = waitFor(ctx, 5*time.Second, "mosquitto listens", func() bool {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				_ = c.Close()
			}
			return err == nil
		})
	}
	if err != nil {
		stop()
		return "", nil, err
	}
	return "mqtt://" + addr, stop, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// startProcess starts a program that does not outlive this one. end ends it, first kindly.
func startProcess(cmd *exec.Cmd) (end func(), err error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait()
	}()
	return func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
	}, nil
}

// waitFor looks now and then whether something is so.
func waitFor(ctx context.Context, limit time.Duration, what string, is func() bool) error {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	for !is() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not in time: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
