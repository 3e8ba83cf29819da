package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// newWatch returns the command that shows the house as it changes.
func newWatch() *cobra.Command {
	c := &cobra.Command{
		Use: "watch", Short: "Show the house as it changes, until Ctrl-C", Args: terminal.Args(cobra.NoArgs),
		Long: `Show the house as it changes, until Ctrl-C: a list that is drawn again at each
change on a terminal, else a line for each device whose state has changed. It
waits for a daemon that is restarted.`,
	}
	asJSON := c.Flags().Bool("json", false, "print a line of JSON for each device whose state has changed")
	wide := addWide(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		h, out := dialHub(stateOf(c)), c.OutOrStdout()
		h.http.Timeout = 0
		var show watcher = &lineWatcher{w: out, json: *asJSON}
		if terminal.ScreenOf(out).Live() && !*asJSON {
			show = &areaWatcher{w: out, area: terminal.Area{W: out}, wide: *wide}
		}
		for began := false; ; began = true {
			err := follow(c.Context(), h, show)
			switch {
			case c.Context().Err() != nil:
				return nil
			case !began && errors.Is(err, home.ErrUnavailable) || err != nil && !errors.Is(err, home.ErrUnavailable):
				return err
			}
			show.lost()
			select {
			case <-time.After(time.Second):
			case <-c.Context().Done():
			}
		}
	}
	return c
}

// watcher shows a house that changes.
type watcher interface {
	status(daemon.Status) error
	lost() // the daemon does not answer
}

// follow passes the status to show at each change, until the daemon or ctx ends.
func follow(ctx context.Context, h *hub, show watcher) error {
	return h.do(ctx, http.MethodGet, "/v1/changes", nil, func(body io.Reader) error {
		for lines := bufio.NewScanner(body); lines.Scan(); {
			var s daemon.Status
			if err := h.call(ctx, http.MethodGet, "/v1/status", nil, &s); err != nil {
				return err
			}
			if err := show.status(s); err != nil {
				return err
			}
		}
		return nil
	})
}

// areaWatcher draws the house again at each change.
type areaWatcher struct {
	w    io.Writer
	area terminal.Area
	wide bool
	last daemon.Status
}

func (a *areaWatcher) status(s daemon.Status) error {
	a.last = s
	return a.draw("Ctrl-C ends this.")
}

func (a *areaWatcher) lost() { _ = a.draw("The daemon does not answer: this is how it was.") }

func (a *areaWatcher) draw(last string) error {
	at := terminal.ScreenOf(a.w) // it may have another size now
	var b strings.Builder
	head := terminal.Sentence(a.last)
	if a.last.Account == "" {
		head = "Not signed in."
	}
	for _, line := range terminal.Wrap(head, at.Width) {
		b.WriteString(at.Paint(line, terminal.Bold) + "\n")
	}
	if err := terminal.PrintHouse(&b, at, a.last.Devices, a.wide); err != nil {
		return err
	}
	if n := daemon.Summarize(a.last.Devices); n.Moving > 0 {
		last = terminal.Bar(last, n.Kept+n.Need, n.Bound(), at.Width-1)
	}
	a.area.Draw(at, b.String(), last)
	return nil
}

// lineWatcher prints a line for each device whose state has changed.
type lineWatcher struct {
	w      io.Writer
	json   bool
	silent bool // the daemon is known not to answer
	before map[home.DeviceID]string
}

func (l *lineWatcher) status(s daemon.Status) error {
	now := make(map[home.DeviceID]string, len(s.Devices))
	l.silent = false
	for _, r := range s.Devices {
		now[r.ID] = fmt.Sprintf("%s\x00%s\x00%t", terminal.State(r), r.Label(), r.Bound)
		if now[r.ID] == l.before[r.ID] {
			continue
		}
		if l.json {
			if err := json.NewEncoder(l.w).Encode(r); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintf(l.w, "%s  %s\n", time.Now().Format(time.TimeOnly), terminal.Summary(r)); err != nil {
			return err
		}
	}
	for id := range l.before {
		if _, still := now[id]; !still && !l.json {
			if _, err := fmt.Fprintf(l.w, "%s  %s  not listed any more\n", time.Now().Format(time.TimeOnly), id); err != nil {
				return err
			}
		}
	}
	l.before = now
	return nil
}

func (l *lineWatcher) lost() {
	if !l.silent && !l.json {
		fmt.Fprintln(l.w, time.Now().Format(time.TimeOnly)+"  the daemon does not answer")
	}
	l.silent = true
}
