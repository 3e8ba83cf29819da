// Bench measures rekeyd, with what one would otherwise run beside it, and prints tables: `make bench`. It sends nothing off this
// machine (loopback, and network namespaces of its own), ends what it starts, and takes less than eight minutes.
//
//	go run ./cmd/rekeyd/internal/bench -only cloud,account,devices,mdns,idle,size -write BENCHMARKS.md
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// section is one part of the benchmark.
type section struct {
	name string
	run  func(context.Context, options) ([]table, error)
}

// sections are in the order of the report.
var sections = []section{{"cloud", cloud}, {"account", accountService}, {"devices", devices}, {"mdns", discovery}, {"idle", idle}, {"size", size}}

// options are what the command line decides.
type options struct {
	only    []string
	write   string
	devices int           // of the cloud section
	answer  time.Duration // when the account service answers a request for a reset
	dir     string        // for state, on a disk: empty for the system's temporary directory
	profile string        // file for the CPU profile of the cloud's run; none when empty
	say     io.Writer
}

// longest is how long all of it may take.
const longest = 8 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 2 && os.Args[1] == inside {
		code := runInside(ctx, os.Args[2], os.Args[3:])
		stop()
		os.Exit(code)
	}
	if err := measure(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// measure runs the sections that args choose, and prints their tables to out.
func measure(ctx context.Context, args []string, out, say io.Writer) error {
	o, err := parse(args, say)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, longest)
	defer stop()
	r := report{machine: thisMachine(), at: time.Now()}
	var errs []error
	for _, s := range sections {
		if !slices.Contains(o.only, s.name) {
			continue
		}
		fmt.Fprintf(say, "# %s\n", s.name)
		began := time.Now()
		tables, err := s.run(ctx, o)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
		}
		for _, t := range tables {
			t.text(out)
		}
		r.tables = append(r.tables, tables...)
		fmt.Fprintf(say, "# %s: %s\n", s.name, time.Since(began).Round(time.Second))
	}
	if err := errors.Join(errs...); err != nil {
		return err // figures of half a run are not kept
	}
	if o.write == "" {
		return nil
	}
	return r.keep(o.write)
}

func parse(args []string, say io.Writer) (options, error) {
	var names []string
	for _, s := range sections {
		names = append(names, s.name)
	}
	all := strings.Join(names, ",")
	o := options{say: say}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(say)
	only := f.String("only", all, "sections to run")
	f.StringVar(&o.write, "write", "", "file to write the figures to, as Markdown")
	f.IntVar(&o.devices, "devices", 10_000, "devices of the cloud section")
	f.StringVar(&o.dir, "dir", "", "directory for state, on the disk that is meant (default: the system's temporary directory)")
	f.StringVar(&o.profile, "cpuprofile", "", "file for a CPU profile of the cloud's run")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q: want flags only", f.Arg(0))
	}
	for _, n := range strings.Split(*only, ",") {
		if !slices.Contains(names, n) {
			return o, fmt.Errorf("section %q: want some of %s", n, all)
		}
		o.only = append(o.only, n)
	}
	if o.devices < 1 {
		return o, fmt.Errorf("%d devices: want at least one", o.devices)
	}
	if o.write != "" && (*only != all || o.devices != 10_000) {
		return o, errors.New("only a whole run is written down: leave out -only and -devices")
	}
	return o, nil
}
