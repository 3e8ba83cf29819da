package supervisor

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// recording is what a Notifier has sent and logged.
type recording struct {
	mu   sync.Mutex // guards the fields below
	list []string
	log  bytes.Buffer
}

func (r *recording) send(state string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, state)
	return nil
}

func (r *recording) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

func (r *recording) sent() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

func (r *recording) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

func recorder(watchdog time.Duration) (*Notifier, *recording) {
	r := &recording{}
	return &Notifier{watchdog: watchdog, log: slog.New(slog.NewTextHandler(r, nil)), send: r.send}, r
}

func TestReadyIsReportedOnceEveryListenerAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, r := recorder(0)
		serving := make(chan struct{})
		ctx, stop := context.WithCancel(t.Context())
		waiting := func() []string { return []string{"page (127.0.0.1:7353)", "broker (127.0.0.1:7355)"} }
		go n.Run(ctx, Program{Serving: serving, Waiting: waiting})
		time.Sleep(waitingEvery + time.Second)
		close(serving)
		synctest.Wait()
		stop()
		synctest.Wait()
		want := []string{
			"STATUS=waiting for page (127.0.0.1:7353), broker (127.0.0.1:7355)",
			"READY=1\nSTATUS=every listener answers", "STOPPING=1",
		}
		if !slices.Equal(r.sent(), want) {
			t.Errorf("sent %q, want %q", r.sent(), want)
		}
	})
}

func TestAStopBeforeReadyIsReported(t *testing.T) {
	n, r := recorder(time.Minute)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	n.Run(ctx, Program{})
	if want := []string{"STOPPING=1"}; !slices.Equal(r.sent(), want) {
		t.Errorf("sent %q, want %q", r.sent(), want)
	}
}

func TestASignOfLifeIsSentOnlyWhileTheEngineAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, r := recorder(time.Minute)
		serving := make(chan struct{})
		close(serving)
		var stuck atomic.Bool
		ctx, stop := context.WithCancel(t.Context())
		go n.Run(ctx, Program{Serving: serving, Alive: func(ctx context.Context) error {
			if !stuck.Load() {
				return nil
			}
			<-ctx.Done()
			return errors.New("stuck")
		}})
		beats := func(d time.Duration) (count int) {
			before := len(r.sent())
			time.Sleep(d)
			synctest.Wait()
			for _, s := range r.sent()[before:] {
				if s == "WATCHDOG=1" {
					count++
				}
			}
			return count
		}
		if got := beats(10 * time.Minute); got < 20 {
			t.Errorf("%d signs of life in ten times the watchdog's time", got)
		}
		stuck.Store(true)
		if got := beats(10 * time.Minute); got > 0 || !strings.Contains(r.logged(), "stuck") {
			t.Errorf("%d signs of life of a stuck engine; log: %s", got, r.logged())
		}
		stuck.Store(false)
		if beats(time.Minute) == 0 {
			t.Error("no sign of life after the engine answers again")
		}
		stop()
		synctest.Wait()
	})
}

func TestTheEnvironmentNamesSocketAndWatchdog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	for _, addr := range []string{path, "@rekeyd-" + filepath.Base(filepath.Dir(t.TempDir()))} {
		socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: addr, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		for _, c := range []struct {
			usec, pid string
			want      time.Duration
		}{
			{"", "", 0},
			{"120000000", "", 2 * time.Minute},
			{"120000000", "7", 2 * time.Minute},
			{"120000000", "8", 0},
			{"-1", "7", 0},
			{"18446744073709551615", "7", 0},
		} {
			env := map[string]string{"NOTIFY_SOCKET": addr, "WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}
			n := NewNotifier(func(k string) string { return env[k] }, 7, slog.New(slog.DiscardHandler))
			if n.watchdog != c.want {
				t.Errorf("%+v: watchdog %v", c, n.watchdog)
			}
			n.report("READY=1")
			got := make([]byte, 100)
			size, err := socket.Read(got)
			if err != nil || string(got[:size]) != "READY=1" {
				t.Errorf("%s received %q, %v", addr, got[:size], err)
			}
		}
	}
	if NewNotifier(func(string) string { return "" }, 7, nil) != nil {
		t.Error("a notifier without a socket")
	}
}
