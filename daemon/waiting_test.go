package daemon_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// A device whose sign-ins are used up has one verdict, wherever its owner looks, and is left alone until it ends.
func TestDeviceWhoseSignInsAreUsedUpWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var log bytes.Buffer
		h.replace(func(o *daemon.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			h.take(front)
			time.Sleep(time.Second)
			until := time.Now().Add(40 * time.Minute).UTC().Round(time.Second)
			h.lan.set(front, func(p *played) { p.waits = until })
			h.begin(2)
			time.Sleep(time.Second)
			r := h.row(front)
			if r.Verdict != home.Waiting || !strings.Contains(r.Hint, until.Local().Format("15:04")) || r.Detail == "" {
				t.Errorf("status shows %s, %q, %q", r.Verdict, r.Detail, r.Hint)
			}
			if b, err := h.store.Binding(front); err != nil || b.DeviceEpoch != 1 || !b.Verdict.Until.Equal(until) {
				t.Errorf("recorded as %+v, %v", b, err)
			}
			probes, err := h.engine.Probe(t.Context(), []home.DeviceID{front})
			must(t, err)
			if p := probes[0]; p.Verdict != home.Waiting || p.Hint != r.Hint || !strings.Contains(p.Plan, r.Hint) {
				t.Errorf("probe shows %s, %q, plan %q", p.Verdict, p.Hint, p.Plan)
			}
			before := h.lan.now(front).probes
			time.Sleep(35 * time.Minute)
			if asked := h.lan.now(front).probes - before; asked > 0 {
				t.Errorf("asked %d times while it waits", asked)
			}
			h.lan.set(front, func(p *played) { p.waits = time.Time{} })
			time.Sleep(10 * time.Minute)
			if p := h.lan.now(front); p.holds != 2 {
				t.Errorf("it holds epoch %d after it waited", p.holds)
			}
		})
		text := log.String()
		if n := strings.Count(text, "waits"); n != 1 || strings.Contains(text, "not rekeyed") {
			t.Errorf("%d log lines that it waits, want one, and no failure:\n%s", n, text)
		}
	})
}

// A wait that begins during the move itself is the same.
func TestMoveThatNeedsAnotherSignInWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			h.take(front)
			time.Sleep(time.Second)
			until := time.Now().Add(time.Hour)
			h.lan.set(front, func(p *played) { p.lies, p.waitsAfter = true, until })
			h.begin(2)
			time.Sleep(time.Minute)
			if r := h.row(front); r.Verdict != home.Waiting {
				t.Errorf("shown as %s, %q", r.Verdict, r.Detail)
			}
			if n := h.lan.now(front).moves; n != 1 {
				t.Errorf("%d moves", n)
			}
		})
	})
}
