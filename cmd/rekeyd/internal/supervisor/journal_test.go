package supervisor_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/supervisor"
)

// TestTheJournalGetsALevelBeforeEachLine reads lines of every level.
func TestTheJournalGetsALevelBeforeEachLine(t *testing.T) {
	var b strings.Builder
	log := slog.New(supervisor.NewJournal(&b, slog.LevelInfo)).With("part", "test")
	log.Debug("not shown")
	log.Info("device found", "name", "lamp\n<0>forged", "level", 3)
	log.Warn("device waits")
	log.WithGroup("g").Error("part failed", "err", errors.New("no room"))
	want := "<6>msg=\"device found\" part=test name=\"lamp\\n<0>forged\" level=3\n" +
		"<4>msg=\"device waits\" part=test\n<3>msg=\"part failed\" part=test g.err=\"no room\"\n"
	if b.String() != want {
		t.Errorf("the journal gets\n%s\nwant\n%s", &b, want)
	}
}

// TestTheJournalIsRecognised compares the file that systemd names with two others.
func TestTheJournalIsRecognised(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	var st syscall.Stat_t
	if err := syscall.Fstat(int(write.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	for stream, want := range map[string]bool{
		fmt.Sprintf("%d:%d", st.Dev, st.Ino): true, fmt.Sprintf("%d:%d", st.Dev, st.Ino+1): false, "": false, "x": false,
	} {
		if got := supervisor.IsJournal(write, func(string) string { return stream }); got != want {
			t.Errorf("JOURNAL_STREAM=%s: %v", stream, got)
		}
	}
}
