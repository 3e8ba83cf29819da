package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func example() report {
	t := table{title: "Things", columns: []string{"what", "time", "baseline"}}
	t.row("ours", "12 ms", "24 ms")
	t.row("theirs | piped", "1 ms")
	t.notef("Measured %d times.", 3)
	return report{
		at: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), tables: []table{t},
		machine: machine{cores: 2, memory: 3 << 30, kernel: "linux 6.1", arch: "arm64", goes: "go1.26"},
	}
}

func TestTheReportSaysWhatWasMeasuredAndOnWhat(t *testing.T) {
	name := filepath.Join(t.TempDir(), "BENCHMARKS.md")
	if err := os.WriteFile(name, []byte("figures of an earlier run"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := example()
	if err := r.keep(name); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2026-01-02 03:04 UTC, on one machine: 2 cores (arm64), 3.0 GiB of memory, linux 6.1, go1.26.\n",
		"\n## Things\n\n| what | time | baseline |\n| --- | --- | --- |\n| ours | 12 ms | 24 ms |\n| theirs \\| piped | 1 ms |  |\n\nMeasured 3 times.\n",
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(string(got), "earlier") {
		t.Error("what an earlier run measured is still there")
	}
}

func TestTheTableStandsInColumns(t *testing.T) {
	var b bytes.Buffer
	r := example()
	r.tables[0].text(&b)
	const want = "\nThings\n\n  what            time   baseline\n  ours            12 ms  24 ms\n  theirs | piped  1 ms\n\n  Measured 3 times.\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestTheMachineIsKnown(t *testing.T) {
	m := thisMachine()
	if m.cores < 1 || m.memory < 1<<20 || !strings.ContainsAny(m.kernel, "0123456789") || m.goes == "" {
		t.Errorf("machine %+v", m)
	}
}

func TestOnlyAWholeRunIsWrittenDown(t *testing.T) {
	for _, args := range [][]string{
		{"-only", "cloud", "-write", "x"},
		{"-devices", "10", "-write", "x"},
		{"-only", "everything"},
		{"-devices", "0"},
		{"cloud"},
	} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
	o, err := parse([]string{"-write", "x"}, io.Discard)
	if err != nil || len(o.only) != len(sections) || o.devices != 10_000 {
		t.Errorf("%+v, %v: want a whole run", o, err)
	}
}

func TestAResetIsMeasuredWhole(t *testing.T) {
	tap := &tap{}
	o := options{devices: 20, dir: t.TempDir(), say: io.Discard}
	r, err := newRig(t.Context(), o, tap)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	tap.open()
	for _, apart := range []bool{false, true} {
		got, err := r.reset(t.Context(), apart)
		if err != nil {
			t.Fatal(err)
		}
		if got.began <= 0 || got.observed < got.began || got.all < got.observed || got.signIn != got.all-got.observed {
			t.Errorf("times out of order: %+v", got)
		}
	}
	moved, err := tap.traffic(r.hub.Name)
	if err != nil {
		t.Fatal(err)
	}
	// of each reset: ack, begin, proof and confirm; notice, grant, receipt, challenge, session and receipt
	if len(moved.up) < 8 || len(moved.down) < 12 || moved.bytes() < 20*2*(3*32+2*32) {
		t.Errorf("%d and %d messages, %d bytes: too few for two resets", len(moved.up), len(moved.down), moved.bytes())
	}
	same, loose, err := baselines(t.Context(), o, "", moved)
	if err != nil || same <= 0 || loose <= 0 {
		t.Errorf("paho alone: %v, %v, %v", same, loose, err)
	}
}

func TestWhatAStatusSays(t *testing.T) {
	for in, want := range map[string]int{"password number 1; 97 of 100 devices are signed in": 100, "3 of 4 devices are signed in": 4, "nothing": 0} {
		if got := boundIn(in); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
