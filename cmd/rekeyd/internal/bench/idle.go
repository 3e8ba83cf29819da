package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// house is what the idle daemon has bound.
const (
	houseCount = "plug:iot=30,switch:iot=20,bulb:iot=30,camera:native=20"
	houseSize  = 100
)

// What is waited for after the devices are bound, until the first sweeps are over, and how long it is looked at then.
const (
	settleFor = 90 * time.Second
	watchFor  = time.Minute
)

// resting is what a daemon costs when nothing happens.
type resting struct {
	Resident uint64        // bytes, at the end
	Private  uint64        // of those, what is not the program's own file in the page cache
	Peak     uint64        // bytes, since its start: hashing passwords, binding
	CPU      time.Duration // used in Over
	Over     time.Duration
}

func (r resting) share() float64 { return r.CPU.Seconds() / r.Over.Seconds() * 100 }

// idle measures the released binary with a house of simulated devices, once with everything embedded and once with the account service and
// broker in another process.
func idle(ctx context.Context, o options) ([]table, error) {
	dir, err := os.MkdirTemp(o.dir, "rekeyd-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program := filepath.Join(dir, "rekeyd")
	if err := build(ctx, program, nil); err != nil {
		return nil, err
	}
	t := table{
		title:   fmt.Sprintf("The daemon, idle, with %d devices bound and the link up", houseSize),
		columns: []string{"what", "resident", "of it private", "peak", "aim", "CPU", "aim"},
	}
	cases := []struct {
		name, mode string
		aim        uint64
	}{{"with embedded broker and account service", "embedded", 30_000_000}, {"without", "apart", 16_000_000}}
	found := make([]resting, len(cases))
	errs := make(chan error, len(cases))
	for i, c := range cases { // each in a network of its own
		go func() { errs <- inNamespace(ctx, &found[i], "idle", program, filepath.Join(dir, c.mode), c.mode) }()
	}
	var all []error
	for range cases {
		all = append(all, <-errs)
	}
	if err := errors.Join(all...); errors.Is(err, errMissing) {
		t.notef("Not measured: %v.", err)
		return []table{t}, nil
	} else if err != nil {
		return nil, err
	}
	for i, c := range cases {
		r := found[i]
		t.row(c.name, megabytes(int(r.Resident))+" MB", megabytes(int(r.Private))+" MB", megabytes(int(r.Peak))+" MB",
			fmt.Sprintf("under %d MB: %s", c.aim/1_000_000, verdict(r.Resident < c.aim)),
			fmt.Sprintf("%.2f %%", r.share()), "under 0.2 %: "+verdict(r.share() < 0.2))
	}
	t.notef("`rekeyd run --interface lo` in a network namespace of its own, with `rekeyd simulate --count %s` beside it. VmRSS, RssAnon and VmHWM (what is resident and not private are clean pages of the program's file, which the kernel drops where memory is short), and user and system time over %s, "+
		"begun %s after the devices were bound. CPU is of one core.", houseCount, watchFor, settleFor)
	return []table{t}, nil
}

// idleInside runs the daemon with its house in this namespace: args are the program, a directory, and "embedded" or "apart".
func idleInside(ctx context.Context, args []string) (_ any, err error) {
	if len(args) != 3 {
		return nil, errors.New("want PROGRAM DIRECTORY MODE")
	}
	h := &household{program: args[0], dir: args[1]}
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return nil, err
	}
	defer h.end()
	// The owner reads no mail here.
	policy := filepath.Join(h.dir, "policy.json")
	if err := os.WriteFile(policy, []byte(`{"activation": false}`), 0o600); err != nil {
		return nil, err
	}
	state := filepath.Join(h.dir, "hub")
	run := []string{"run", "--state", state, "--interface", "lo"}
	if args[2] != "apart" {
		run = append(run, "--policy", policy)
	} else {
		// A daemon that looks for no devices, for its account service and broker.
		if _, err := h.start("run", "--state", filepath.Join(h.dir, "cloud"), "--interface", "none0", "--policy", policy); err != nil {
			return nil, err
		}
		if err := h.await(ctx, "not signed in to an account", "--state", filepath.Join(h.dir, "cloud"), "status"); err != nil {
			return nil, err
		}
		run = append(run, "--listen", "127.0.0.1:7363", "--account-url", "http://127.0.0.1:7354", "--broker", "mqtt://127.0.0.1:7355")
	}
	pid, err := h.start(run...)
	if err != nil {
		return nil, err
	}
	if err := h.bindHouse(ctx, state); err != nil {
		return nil, err
	}
	return rest(ctx, pid)
}

// bindHouse registers an account, signs the hub in, and binds a house of simulated devices.
func (h *household) bindHouse(ctx context.Context, state string) error {
	const pw = "a-Password-of-1"
	if err := h.await(ctx, "not signed in to an account", "--state", state, "status"); err != nil {
		return err
	}
	var at []string
	if strings.HasSuffix(h.dir, "apart") {
		at = []string{"--account-url", "http://127.0.0.1:7354"}
	}
	if err := h.do(ctx, pw, append([]string{"--state", state, "register", owner, "--password-stdin"}, at...)...); err != nil {
		return err
	}
	if err := h.do(ctx, pw, append([]string{"--state", state, "login", owner, "--password-stdin"}, at...)...); err != nil {
		return err
	}
	if _, err := h.start("simulate", "--count", houseCount, "--username", owner, "--password", pw); err != nil {
		return err
	}
	for bound := 0; bound < houseSize; { // as they are found
		if err := h.do(ctx, "", "--state", state, "bind", "--all", "--allow-cleartext-bind"); err != nil {
			return err
		}
		out, err := h.output(ctx, "", "--state", state, "status")
		if err != nil {
			return err
		}
		if bound = boundIn(out); bound < houseSize {
			select {
			case <-ctx.Done():
				return fmt.Errorf("%d of %d devices are bound: %w", bound, houseSize, ctx.Err())
			case <-time.After(500 * time.Millisecond):
			}
		}
	}
	return h.await(ctx, fmt.Sprintf("%d of %d devices are signed in", houseSize, houseSize), "--state", state, "status")
}

// boundIn returns how many devices a status says are bound: 4 where "3 of 4 devices are signed in".
func boundIn(status string) (n int) {
	if before, _, ok := strings.Cut(status, " devices are signed in"); ok {
		fields := strings.Fields(before)
		n, _ = strconv.Atoi(fields[len(fields)-1])
	}
	return n
}

// rest waits until a process has come to rest, and looks at it for a while.
func rest(ctx context.Context, pid int) (r resting, err error) {
	if err := sleep(ctx, settleFor); err != nil {
		return r, err
	}
	began := time.Now()
	before, err := cpuOf(pid)
	if err != nil {
		return r, err
	}
	if err := sleep(ctx, watchFor); err != nil {
		return r, err
	}
	after, err := cpuOf(pid)
	status := fmt.Sprintf("/proc/%d/status", pid)
	return resting{procField(status, "VmRSS"), procField(status, "RssAnon"), procField(status, "VmHWM"), after - before, time.Since(began)}, err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// tick is the unit of times in /proc/PID/stat: USER_HZ, which is 100 on all of Linux.
const tick = 10 * time.Millisecond

// cpuOf returns the user and system time of a process.
func cpuOf(pid int) (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:])) // from the third on: the name may hold spaces
	if len(fields) < 13 {
		return 0, errors.New("/proc: malformed stat")
	}
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}
