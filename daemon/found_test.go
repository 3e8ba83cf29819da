package daemon_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// journal is a log that several goroutines write.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) count(message string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), "msg=\""+message+"\"")
}

// TestTheLogHasEachDeviceThatIsFoundBoundAndMovedOnce plays a day of a house, and a flood of devices that are not its.
func TestTheLogHasEachDeviceThatIsFoundBoundAndMovedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var log journal
		h.replace(func(o *daemon.Options) {
			o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))
		})
		var ids []home.DeviceID
		for i := range 3 {
			ids = append(ids, home.DeviceID(fmt.Sprintf("mac-50c7bf00000%d", i)))
			h.lan.held[ids[i]] = &played{match: home.Ours, holds: 1}
		}
		expect := func(when string, found, bound, moved int) {
			t.Helper()
			got := []int{log.count("device found"), log.count("device bound"), log.count("device rekeyed")}
			if want := []int{found, bound, moved}; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: found, bound and moved are %v in the log, want %v", when, got, want)
			}
		}
		h.run(func() {
			h.take(ids...)
			time.Sleep(time.Minute)
			expect("bound", 3, 3, 0)
			h.bind(ids...)
			h.see(ids...)
			h.begin(2)
			time.Sleep(12 * time.Hour)
			expect("moved", 3, 3, 3)
			var strangers []home.DeviceID
			for i := range 250 {
				id := home.DeviceID(fmt.Sprintf("mac-02000000%04x", i))
				h.lan.mu.Lock()
				h.lan.held[id] = &played{match: home.Unknown, dumb: true}
				h.lan.mu.Unlock()
				strangers = append(strangers, id)
			}
			h.see(strangers...)
			time.Sleep(10 * time.Second)
			if n := log.count("device found"); n < 50 || n > 110 {
				t.Errorf("%d devices found are in the log after a flood of 250", n)
			}
		})
	})
}
