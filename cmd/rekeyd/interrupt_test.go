package main

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
)

// TestAnInterruptIsNoDaemonThatIsMissing interrupts a command while it waits for the daemon's answer.
func TestAnInterruptIsNoDaemonThatIsMissing(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "rk") // the path of a socket is short
	ok(t, err)
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", app.ControlSocket(dir))
	ok(t, err)
	defer l.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, _ = conn.Read(make([]byte, 1)) // the request is there
			interrupt()
			defer conn.Close()
			<-t.Context().Done()
		}
	}()
	var errs output
	code := run(ctx, []string{"--state", dir, "probe"}, strings.NewReader(""), io.Discard, &errs)
	if got := errs.String(); code != exitFailed || got != "rekeyd: interrupted\n" {
		t.Errorf("it ended with %d: %s", code, got)
	}
}
