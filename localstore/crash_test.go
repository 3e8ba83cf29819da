package localstore_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// writerEnv makes this test binary a process that writes to the store it names until it is killed.
const writerEnv = "LOCALSTORE_TEST_WRITER"

const writers = 6

func writer(i int) home.DeviceID { return home.DeviceID(fmt.Sprintf("mac-%012x", i)) }

// write begins epochs and moves devices, and prints a line for each change that is on disk.
func write(dir string) int {
	s, err := localstore.Open(localstore.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	var mu sync.Mutex // guards standard output: a line is whole or not there
	report := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	report("ready")
	go func() {
		for {
			a, err := s.Account()
			if err == nil {
				_, err = s.BeginEpoch(acct, credential(a.Epoch+1), fmt.Append(nil, a.Epoch+1), nil)
			}
			if err != nil {
				report("error %v", err)
				return
			}
			report("epoch %d", a.Epoch+1)
			time.Sleep(2 * time.Millisecond)
		}
	}()
	for i := range writers {
		go func() {
			for {
				a, err := s.Account()
				if b, err := s.Binding(writer(i)); err == nil &&
					b.Verdict.State == home.Current { // as the engine: it is left alone
					time.Sleep(100 * time.Microsecond)
					continue
				}
				if err == nil {
					_, err = s.Intend(writer(i), a.Epoch, a.Epoch, time.Now())
				}
				if errors.Is(err, home.ErrOldEpoch) {
					continue
				}
				if err == nil {
					report("intent %d %d", i, a.Epoch)
					var b home.Binding
					if b, err = s.Observe(writer(i), at(home.Current, a.Epoch), 0, time.Now()); err == nil {
						report("held %d %d", i, b.DeviceEpoch)
					}
				}
				if err != nil {
					report("error %v", err)
					return
				}
			}
		}()
	}
	_, _ = os.Stdin.Read(make([]byte, 1)) // its end is the parent's
	return 0
}

func TestConfirmedChangesSurviveAKill(t *testing.T) {
	dir := t.TempDir()
	ids := make([]home.DeviceID, writers)
	for i := range ids {
		ids[i] = writer(i)
	}
	must(t, enrolled(t, dir, ids...).Close())
	kills := 12
	if testing.Short() {
		kills = 3
	}
	confirmed := 0
	for range kills {
		confirmed += killOnce(t, dir)
	}
	t.Logf("%d changes, %d kills", confirmed, kills)
}

// killOnce has a process write, kills it somewhere, and compares its lines with what is there. It returns how
// many lines it printed.
func killOnce(t *testing.T, dir string) (confirmed int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+dir)
	in, err := cmd.StdinPipe()
	must(t, err)
	defer in.Close()
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	epoch := home.Epoch(0)
	intent, held := map[int]home.Epoch{}, map[int]home.Epoch{}
	// The point of the kill: so many lines, and a moment in which the next commit is begun.
	last, moment := 1+rand.IntN(60), time.Duration(rand.IntN(1500))*time.Microsecond
	for lines.Scan() {
		var i int
		var e home.Epoch
		switch word, rest, _ := strings.Cut(lines.Text(), " "); word {
		case "ready":
		case "epoch":
			_, err = fmt.Sscan(rest, &epoch)
		case "intent":
			_, err = fmt.Sscan(rest, &i, &e)
			intent[i] = e
		case "held":
			_, err = fmt.Sscan(rest, &i, &e)
			held[i] = e
		default:
			err = errors.New(lines.Text())
		}
		must(t, err)
		if confirmed++; confirmed == last {
			time.AfterFunc(moment, func() { _ = cmd.Process.Kill() })
		}
	}
	_ = cmd.Wait() // killed

	s := open(t, dir)
	defer s.Close()
	must(t, s.Check())
	a, err := s.Account()
	must(t, err)
	if a.Epoch < epoch {
		t.Fatalf("at epoch %d, and %d was on disk", a.Epoch, epoch)
	}
	if cs, err := s.Credentials(acct); err != nil || len(cs) != int(a.Epoch) || cs[0] != credential(a.Epoch) {
		t.Fatalf("%d credentials at epoch %d, %v", len(cs), a.Epoch, err)
	}
	waiting := strings.Join(errands(t, s), "\n")
	under := map[home.DeviceID]home.Intent{}
	for _, in := range intents(t, s) {
		under[in.Device] = in
	}
	for i := range writers {
		b, err := s.Binding(writer(i))
		must(t, err)
		in, open := under[writer(i)]
		switch {
		case b.DeviceEpoch < held[i]:
			t.Fatalf("device %d holds %d, and %d was on disk", i, b.DeviceEpoch, held[i])
		case b.DeviceEpoch < intent[i] && (!open || in.To < intent[i]):
			t.Fatalf("device %d: the intent for epoch %d is lost: %+v, %+v", i, intent[i], in, b)
		case b.Verdict.Against(a.Epoch) != b.Verdict:
			t.Fatalf("device %d: %+v at epoch %d: half a grant", i, b, a.Epoch)
		case b.Verdict.State == home.Current && (open || !strings.Contains(waiting, fmt.Sprintf("sign-in %s %d", b.Device,
			a.Epoch))):
			t.Fatalf("device %d: %+v: half an observation: %+v, %s", i, b, in, waiting)
		}
	}
	return confirmed
}

// state is all that a store returns, as text.
func state(t testing.TB, s *localstore.Store) string {
	t.Helper()
	a, err := s.Account()
	must(t, err)
	bs, err := s.Bindings()
	must(t, err)
	ds, err := s.Devices()
	must(t, err)
	es, err := s.Errands(math.MaxInt)
	must(t, err)
	hs, err := s.History(math.MaxInt)
	must(t, err)
	cs, err := s.Credentials(acct)
	must(t, err)
	raw, err := json.MarshalIndent([]any{a, bs, ds, es, hs, intents(t, s), len(cs)}, "", " ")
	must(t, err)
	return string(raw)
}

// TestPowerMayFailAtAnyPointOfACommit rebuilds what a disk may hold in the middle of a commit. bbolt syncs the pages
// of a transaction before the meta page that leads to them: up to there any of them may be on disk, whole, half or
// not at all, and after that any part of the meta page. Whatever it is, the store is as it was before the commit, or
// as it is after.
func TestPowerMayFailAtAnyPointOfACommit(t *testing.T) {
	dir, r := t.TempDir(), rand.New(rand.NewPCG(5, 6))
	s := enrolled(t, dir, front, back)
	db := filepath.Join(dir, "rekeyd.db")
	key, err := os.ReadFile(filepath.Join(dir, "vault.key"))
	must(t, err)
	many := make([]home.Device, 60)
	for i := range many {
		many[i] = device(writer(i))
	}
	for name, op := range map[string]func() error{
		"observe":  func() error { return drop(s.Observe(front, at(home.Current, 1), 0, noon)) },
		"grant":    func() error { return drop(s.BeginEpoch(acct, credential(2), nil, nil)) },
		"intend":   func() error { return drop(s.Intend(back, 1, 9, noon)) },
		"postpone": func() error { return s.Postpone(back, noon) },
		"bind":     func() error { return s.Bind(acct, many) },
		"unbind":   func() error { return s.Unbind([]home.DeviceID{front, writer(3)}) },
	} {
		before, err := os.ReadFile(db)
		must(t, err)
		old := state(t, s)
		must(t, op())
		after, err := os.ReadFile(db)
		must(t, err)
		now := state(t, s)
		if old == now {
			t.Fatalf("%s changes nothing", name)
		}
		for what, raw := range halves(r, before, after) {
			half := t.TempDir()
			must(
				t,
				errors.Join(
					os.WriteFile(filepath.Join(half, "rekeyd.db"), raw, 0o600),
					os.WriteFile(filepath.Join(half, "vault.key"), key, 0o600),
				),
			)
			h := open(t, half)
			if set, err := h.Damaged(); err != nil || len(set) > 0 {
				t.Fatalf("a crash has damaged %v, %v", set, err)
			}
			if err := h.Check(); err != nil {
				t.Fatalf("%s, %s: %v", name, what, err)
			}
			if got := state(t, h); got != old && (got != now || strings.HasPrefix(what, "pages")) {
				t.Fatalf("%s, %s: neither before nor after", name, what)
			}
			must(t, h.Close())
		}
		// The next operation is the first after a crash in this one.
		if r.IntN(2) == 0 {
			s = reopen(t, s, dir)
			must(t, drop(s.NextBoot())) // the first change after a start makes a reserve, in commits of its own
		}
		if name == "unbind" {
			bind(t, s, front)
		}
	}
}

func drop[T any](_ T, err error) error { return err }

// halves returns what the file may be on the way from before to after.
func halves(r *rand.Rand, before, after []byte) map[string][]byte {
	page := os.Getpagesize()
	var data, meta []int // pages that differ
	for at := 0; at < len(after); at += page {
		if at >= len(before) || !bytes.Equal(after[at:at+page], before[at:at+page]) {
			if at < 2*page {
				meta = append(meta, at)
			} else {
				data = append(data, at)
			}
		}
	}
	out := map[string][]byte{}
	for n := range 4 {
		raw := append(bytes.Clone(before), make([]byte, max(0, len(after)-len(before)))...)
		for _, at := range data {
			switch from, to := at, at+page; r.IntN(3) {
			case 0: // torn inside: sectors are written whole
				cut := at + 512*r.IntN(page/512)
				if r.IntN(2) == 0 {
					from = cut
				} else {
					to = cut
				}
				fallthrough
			case 1:
				copy(raw[from:to], after[from:to])
			}
		}
		out[fmt.Sprint("pages ", n)] = raw
	}
	for _, at := range meta {
		for _, n := range []int{0, 1, 20, 40, 63, 71, 79, 512, page} {
			raw := append(bytes.Clone(before), make([]byte, max(0, len(after)-len(before)))...)
			for _, at := range data {
				copy(raw[at:at+page], after[at:at+page])
			}
			copy(raw[at:at+n], after[at:at+n])
			out[fmt.Sprintf("meta %d, %d bytes", at/page, n)] = raw
		}
	}
	return out
}
