package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// table is what one section found. The first column says what was measured; the aim and the baseline stand in columns of their own.
type table struct {
	title   string
	columns []string
	rows    [][]string
	notes   []string // below the table, a paragraph each
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) notef(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// text prints the table for a terminal.
func (t *table) text(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n\n", t.title)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range append([][]string{t.columns}, t.rows...) {
		fmt.Fprintln(tw, "  "+strings.Join(r, "\t"))
	}
	_ = tw.Flush()
	for _, n := range t.notes {
		fmt.Fprintf(w, "\n  %s\n", n)
	}
}

// markdown prints it for BENCHMARKS.md.
func (t *table) markdown(w io.Writer) {
	fmt.Fprintf(w, "\n## %s\n\n", t.title)
	line := func(cells []string) {
		escaped := make([]string, len(t.columns))
		for i := range escaped {
			if i < len(cells) {
				escaped[i] = strings.ReplaceAll(cells[i], "|", `\|`)
			}
		}
		fmt.Fprintf(w, "| %s |\n", strings.Join(escaped, " | "))
	}
	line(t.columns)
	rule := make([]string, len(t.columns))
	for i := range rule {
		rule[i] = "---"
	}
	line(rule)
	for _, r := range t.rows {
		line(r)
	}
	for _, n := range t.notes {
		fmt.Fprintf(w, "\n%s\n", n)
	}
}

// machine is what the figures were measured on.
type machine struct {
	cores  int
	memory uint64 // bytes
	kernel string
	arch   string
	goes   string
}

func thisMachine() machine {
	m := machine{cores: runtime.NumCPU(), arch: runtime.GOARCH, goes: runtime.Version(), kernel: runtime.GOOS}
	if raw, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.kernel += " " + strings.TrimSpace(string(raw))
	}
	m.memory = procField("/proc/meminfo", "MemTotal")
	return m
}

// procField returns a field of a file like /proc/meminfo that counts kilobytes, in bytes; 0 where there is none.
func procField(name, field string) uint64 {
	raw, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		var kilobytes uint64
		if _, err := fmt.Sscanf(line, field+": %d kB", &kilobytes); err == nil {
			return kilobytes << 10
		}
	}
	return 0
}

// String says it in one line.
func (m machine) String() string {
	return fmt.Sprintf("%d cores (%s), %.1f GiB of memory, %s, %s", m.cores, m.arch, float64(m.memory)/(1<<30), m.kernel, m.goes)
}

// report is a whole run.
type report struct {
	at      time.Time
	machine machine
	tables  []table
}

func (r *report) markdown(w io.Writer) {
	fmt.Fprintf(w, "# Benchmarks\n\nWritten by `make bench`'s program (`go run ./cmd/rekeyd/internal/bench -write BENCHMARKS.md`); only what was measured, in one run.\n\n")
	fmt.Fprintf(w, "%s, on one machine: %s.\n", r.at.UTC().Format("2006-01-02 15:04 UTC"), r.machine)
	for i := range r.tables {
		r.tables[i].markdown(w)
	}
}

// keep writes the report to a file, in place of what stood there.
func (r *report) keep(name string) error {
	var b strings.Builder
	r.markdown(&b)
	return os.WriteFile(name, []byte(b.String()), 0o644)
}
