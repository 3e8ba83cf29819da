//go:build linux

package main

import (
	"slices"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// TestTheOwnerIsAskedAtTheChangeWhichDevicesToMove has a person report, while they reset the password, that somebody
// else may know the old one. The list of devices comes at once; none, only some and all are answers.
func TestTheOwnerIsAskedAtTheChangeWhichDevicesToMove(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	const first, second = "first-Horse-Battery", "second-Horse-Battery"
	r := newRig(t, "plug:klap2=3")
	spool := t.TempDir()
	r.args = append(r.args, "--mail-dir", spool, "--policy", loose(t))
	r.start()
	r.await("daemon", time.Minute, answers)
	mails := map[string]bool{}
	for _, step := range []struct {
		stdin func() string
		args  []string
	}{
		{func() string { return first }, []string{"register", rigEmail, "--password-stdin"}},
		{func() string { l, _ := mailed(t, spool, "/activate", mails); return l }, []string{"activate", "--stdin"}},
		{func() string { return first }, []string{"login", rigEmail, "--password-stdin"}},
	} {
		if out, err := r.rekeyd(step.stdin(), step.args...); err != nil {
			t.Fatalf("%v: %s", step.args, out)
		}
	}
	r.awaitFound()
	r.bind()
	r.await("house bound", time.Minute, allCurrent(3, 1))
	if out, err := r.rekeyd("", "forgot", rigEmail); err != nil {
		t.Fatal(out)
	}
	link, _ := mailed(t, spool, "/reset", mails)

	const question = "Move which of them: all, none, or only these (names, separated by commas)? [none]: "
	x := newTerminal(t)
	cmd := x.start("--state", r.state, "reset")
	x.asked("(not shown): ")
	x.types(link + "\n")
	x.asked(": ")
	x.types(second + "\n")
	x.asked(", again: ")
	x.types(second + "\n")
	x.shows(exposedQuestion)
	x.types("y\n")
	x.shows(question)
	x.types("plug-1\n")
	if code, shown := x.ended(cmd); code != exitOK {
		t.Fatalf("it ended with %d and showed %q", code, shown)
	}
	moved := func(names ...string) func(daemon.Status) bool {
		return func(s daemon.Status) bool {
			return s.Epoch == 2 && len(s.Devices) == 3 && !slices.ContainsFunc(s.Devices, func(d daemon.Row) bool {
				return (d.Verdict == home.Current) != slices.Contains(names, d.Name) || d.Held == slices.Contains(names, d.Name)
			})
		}
	}
	r.await("only plug-1 moved", time.Minute, moved("plug-1"))
	for _, step := range []struct {
		answer string
		moved  []string
	}{
		{"", []string{"plug-1"}}, {"none", []string{"plug-1"}}, {"all", []string{"plug-1", "plug-2", "plug-3"}},
	} {
		x = newTerminal(t)
		cmd = x.start("--state", r.state, "rekey")
		x.shows(question)
		x.types(step.answer + "\n")
		if code, shown := x.ended(cmd); code != exitOK {
			t.Fatalf("%q: it ended with %d and showed %q", step.answer, code, shown)
		}
		r.await("after "+step.answer, time.Minute, moved(step.moved...))
	}
}
