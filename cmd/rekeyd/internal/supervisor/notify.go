// Package supervisor connects rekeyd to the program that starts and watches it: systemd, or procd of OpenWrt.
package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"
)

// Program is what a Notifier reports.
type Program struct {
	Serving <-chan struct{}             // closed once every listener answers
	Waiting func() []string             // the listeners that do not answer yet
	Alive   func(context.Context) error // returns nil after the engine has done a round of its work
}

// Notifier reports the state of this process to systemd, by the protocol of sd_notify(3).
type Notifier struct {
	send     func(state string) error
	watchdog time.Duration // that systemd waits for a sign of life; zero when it does not
	log      *slog.Logger
}

// NewNotifier returns a Notifier for the socket and the watchdog that the environment names; nil when it names no
// socket.
func NewNotifier(getenv func(string) string, pid int, log *slog.Logger) *Notifier {
	addr := getenv("NOTIFY_SOCKET")
	if addr == "" {
		return nil
	}
	n := &Notifier{log: log, send: func(state string) error {
		// A name that begins with "@" is an abstract socket, for systemd and for Go.
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: addr, Net: "unixgram"})
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte(state))
		return err
	}}
	usec, err := strconv.ParseUint(getenv("WATCHDOG_USEC"), 10, 63)
	if err == nil && usec < uint64((24*time.Hour).Microseconds()) {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	if of := getenv("WATCHDOG_PID"); of != "" && of != strconv.Itoa(pid) {
		n.watchdog = 0 // for another process, whose environment this one has inherited
	}
	return n
}

// waitingEvery is how often the listeners that do not answer yet are reported.
const waitingEvery = 5 * time.Second

// Run reports p until ctx ends: ready once every listener answers, then signs of life while its engine works, and at
// the end that it stops.
func (n *Notifier) Run(ctx context.Context, p Program) {
	defer n.report("STOPPING=1")
	for ready := false; !ready; {
		select {
		case <-ctx.Done():
			return
		case <-p.Serving:
			ready = true
		case <-time.After(waitingEvery):
			n.report("STATUS=waiting for " + strings.Join(p.Waiting(), ", "))
		}
	}
	n.report("READY=1\nSTATUS=every listener answers")
	if n.watchdog == 0 {
		<-ctx.Done()
		return
	}
	for {
		n.beat(ctx, p)
		select {
		case <-ctx.Done():
			return
		case <-time.After(n.watchdog / 3):
		}
	}
}

// beat sends a sign of life if the engine answers in a third of the watchdog's time.
func (n *Notifier) beat(ctx context.Context, p Program) {
	patience, stop := context.WithTimeoutCause(ctx, n.watchdog/3, fmt.Errorf("no answer in %v", n.watchdog/3))
	defer stop()
	err := p.Alive(patience)
	switch {
	case err == nil:
		n.report("WATCHDOG=1")
	case ctx.Err() == nil:
		n.log.Error("no sign of life sent", "err", err, "watchdog", n.watchdog)
	}
}

func (n *Notifier) report(state string) {
	if err := n.send(state); err != nil {
		n.log.Warn("service manager not notified", "err", err)
	}
}
