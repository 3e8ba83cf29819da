//go:build linux

package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// pty is a pseudo-terminal with a person at its other end.
type pty struct {
	t      *testing.T
	person *os.File
	tty    *os.File
	shown  output
	done   chan struct{} // closed when nothing more is shown
}

func newTerminal(t *testing.T) *pty {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		nettest.Missing(t, "no pseudo-terminals here: %v", err)
	}
	var number, unlocked uint32
	ioctl(t, person, syscall.TIOCGPTN, unsafe.Pointer(&number))
	ioctl(t, person, syscall.TIOCSPTLCK, unsafe.Pointer(&unlocked))
	tty, err := os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	ok(t, err)
	x := &pty{t: t, person: person, tty: tty, done: make(chan struct{})}
	go func() {
		defer close(x.done)
		_, _ = person.WriteTo(&x.shown) // ends when every end that programs hold is closed
	}()
	t.Cleanup(func() { _ = tty.Close(); <-x.done; _ = person.Close() })
	return x
}

func ioctl(t *testing.T, f *os.File, what uintptr, arg unsafe.Pointer) {
	t.Helper()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), what, uintptr(arg)); errno != 0 {
		t.Fatal(errno)
	}
}

// echoes reports whether the terminal shows what is typed.
func (x *pty) echoes() bool {
	var mode syscall.Termios
	ioctl(x.t, x.tty, syscall.TCGETS, unsafe.Pointer(&mode))
	return mode.Lflag&syscall.ECHO != 0
}

// start runs this program at the terminal.
func (x *pty) start(args ...string) *exec.Cmd {
	x.t.Helper()
	self, err := exec.LookPath("rekeyd")
	if err != nil { // package testscript has put it on the PATH
		x.t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = x.tty, x.tty, x.tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	ok(x.t, cmd.Start())
	return cmd
}

// asked waits until the program has asked for something that it does not show.
func (x *pty) asked(prompts ...string) {
	x.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		shown := x.shown.String()
		if slices.ContainsFunc(prompts, func(p string) bool { return strings.HasSuffix(shown, p) }) && !x.echoes() {
			return
		}
	}
	x.t.Fatalf("it never asked %q without echo; it showed %q", prompts, x.shown.String())
}

func (x *pty) types(keys string) {
	x.t.Helper()
	_, err := x.person.WriteString(keys)
	ok(x.t, err)
}

// ended waits for the program, and returns its exit code and all that was shown.
func (x *pty) ended(cmd *exec.Cmd) (code int, shown string) {
	x.t.Helper()
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	_ = cmd.Wait()
	// What the program wrote last may still be on its way. A mark that is written now arrives after it.
	const mark = "<ended>"
	_, err := x.tty.WriteString(mark)
	ok(x.t, err)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if shown, found := strings.CutSuffix(x.shown.String(), mark); found {
			return cmd.ProcessState.ExitCode(), strings.ReplaceAll(shown, mark, "")
		}
	}
	x.t.Fatalf("the terminal is not drained; it showed %q", x.shown.String())
	return 0, ""
}

// TestAPasswordTypedAtATerminalIsNotShown types at every command that asks for one.
func TestAPasswordTypedAtATerminalIsNotShown(t *testing.T) {
	const secret = "typed-by-a-person"
	var got output
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(&got, r.Body)
		_, _ = io.WriteString(w, `{"error_code":0,"result":{}}`)
	}))
	defer srv.Close()
	link := srv.URL + "/reset#t=TOKENOFALINKABCDEFGHIJKLMN"
	for name, c := range map[string]struct {
		args    []string
		prompts []string // without echo
		keys    []string
		arrives string
	}{
		"register": {
			[]string{"register", "anna@example.org", "--account-url", srv.URL},
			[]string{"no spaces): ", ", again: "},
			[]string{secret, secret},
			secret,
		},
		"activate": {
			[]string{"activate"},
			[]string{"Link from the mail (not shown): "},
			[]string{srv.URL + "/activate#t=TOKENOFALINKABCDEFGHIJKLMN"},
			"TOKENOFALINKABCDEFGHIJKLMN",
		},
		"reset": {
			[]string{"reset", "--account-url", srv.URL},
			[]string{
				"Link from the mail (not shown): ", "no spaces): ", ", again: ",
			},
			[]string{link, secret, secret},
			secret,
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTerminal(t)
			before := len(got.String())
			cmd := x.start(c.args...)
			for i, prompt := range c.prompts {
				x.asked(prompt)
				x.types(c.keys[i] + "\n")
			}
			if name == "reset" {
				x.shows(exposedQuestion)
				x.types("\n")
			}
			code, shown := x.ended(cmd)
			if code != 0 || strings.Contains(shown, "typed") || strings.Contains(shown, "TOKEN") {
				t.Errorf("it ended with %d and showed %q", code, shown)
			}
			if !strings.Contains(got.String()[before:], c.arrives) {
				t.Error("what was typed did not arrive")
			}
			if !x.echoes() {
				t.Error("the terminal is left without echo")
			}
		})
	}
	t.Run("two that differ", func(t *testing.T) {
		x := newTerminal(t)
		before := len(got.String())
		cmd := x.start("register", "anna@example.org", "--account-url", srv.URL)
		x.asked("no spaces): ")
		x.types(secret + "\n")
		x.asked("again: ")
		x.types(secret + "s\n")
		code, shown := x.ended(cmd)
		if code != exitFailed || !strings.Contains(shown, "hint: type the same password twice") ||
			strings.Contains(shown, secret) {
			t.Errorf("it ended with %d and showed %q", code, shown)
		}
		if len(got.String()) != before {
			t.Error("it was sent all the same")
		}
	})
}

const exposedQuestion = "May somebody else know the old password? (no: you forgot it) [y/N]: "

// TestResetAsksWhetherThePasswordIsExposed gives each answer, and an empty line, which means that it was forgotten.
func TestResetAsksWhetherThePasswordIsExposed(t *testing.T) {
	var got output
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(&got, r.Body)
		_, _ = io.WriteString(w, `{"error_code":0,"result":{"hubs":1}}`)
	}))
	defer srv.Close()
	for answer, want := range map[string]string{"": `"exposed":false`, "n": `"exposed":false`, "y": `"exposed":true`} {
		x := newTerminal(t)
		before := len(got.String())
		cmd := x.start("reset", "--account-url", srv.URL)
		x.asked("(not shown): ")
		x.types("TOKENOFALINKABCDEFGHIJKLMN\n")
		for _, prompt := range []string{"no spaces): ", ", again: "} {
			x.asked(prompt)
			x.types("new-password-1\n")
		}
		x.shows(exposedQuestion)
		x.types(answer + "\n")
		if code, shown := x.ended(cmd); code != 0 || !strings.Contains(got.String()[before:], want) {
			t.Errorf("answer %q: it ended with %d and showed %q; %s arrived", answer, code, shown, got.String()[before:])
		}
	}
}

// TestAnInterruptEndsTheQuestionForAPassword presses Ctrl-C in the middle of it.
func TestAnInterruptEndsTheQuestionForAPassword(t *testing.T) {
	x := newTerminal(t)
	cmd := x.start("register", "anna@example.org", "--account-url", "http://127.0.0.1:1")
	x.asked("no spaces): ")
	x.types("half a pass\x03")
	code, shown := x.ended(cmd)
	if code != exitFailed || strings.Contains(shown, "half") {
		t.Errorf("it ended with %d and showed %q", code, shown)
	}
	if !x.echoes() {
		t.Error("the terminal is left without echo")
	}
}

// TestResetAsksBeforeItFollowsALinkElsewhere: the sender of a forged mail would get the new password.
func TestResetAsksBeforeItFollowsALinkElsewhere(t *testing.T) {
	var got output
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(&got, r.Body)
		_, _ = io.WriteString(w, `{"error_code":0,"result":{}}`)
	}))
	defer elsewhere.Close()
	for answer, follows := range map[string]bool{"": false, "n": false, "y": true} {
		t.Run("answer "+answer, func(t *testing.T) {
			x := newTerminal(t)
			before := len(got.String())
			cmd := x.start("reset")
			x.asked("(not shown): ")
			x.types(elsewhere.URL + "/reset#t=TOKENOFALINKABCDEFGHIJKLMN\n")
			x.shows("The link leads to " + elsewhere.URL + ". Your account service is " + defaultAccountURL +
				". Send your new password to " + hostOf(elsewhere.URL) + "? [y/N]: ")
			x.types(answer + "\n")
			if follows {
				for _, prompt := range []string{"New password for your account at " + hostOf(elsewhere.URL) + ": ", ", again: "} {
					x.asked(prompt)
					x.types("new-password-1\n")
				}
				x.shows(exposedQuestion)
				x.types("\n")
			}
			code, shown := x.ended(cmd)
			if (code == 0) != follows || strings.Contains(got.String()[before:], "new-password-1") != follows {
				t.Errorf("it ended with %d and showed %q; %q arrived", code, shown, got.String()[before:])
			}
		})
	}
}

// TestADeadLinkIsReportedBeforeAPasswordIsAskedFor: a password typed for a used link would be typed for nothing.
func TestADeadLinkIsReportedBeforeAPasswordIsAskedFor(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"error_code":%d,"msg":"the link was used"}`, v1.LinkExpired)
	}))
	defer srv.Close()
	x := newTerminal(t)
	cmd := x.start("reset", "--account-url", srv.URL)
	x.asked("(not shown): ")
	x.types("TOKENOFALINKABCDEFGHIJKLMN\n")
	code, shown := x.ended(cmd)
	asked, reported := strings.Contains(shown, "New password"), strings.Contains(shown, "ask for a new one with")
	if code != exitFailed || asked || !reported {
		t.Errorf("it ended with %d and showed %q", code, shown)
	}
}

// TestLoginAsksForTheAddress runs login as the hints name it, without an address.
func TestLoginAsksForTheAddress(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	const password = "first-Horse-Battery"
	r := newRig(t, "plug:klap2=1")
	r.start()
	r.await("daemon", time.Minute, answers)
	if out, err := r.rekeyd(password, "register", rigEmail, "--password-stdin"); err != nil {
		t.Fatalf("register: %s", out)
	}
	x := newTerminal(t)
	cmd := x.start("--state", r.state, "login")
	x.shows("E-mail address of your account: ")
	x.types(rigEmail + "\n")
	x.asked("Password: ")
	x.types(password + "\n")
	if code, shown := x.ended(cmd); code != exitOK || !strings.Contains(shown, "This hub is signed in") {
		t.Errorf("it ended with %d and showed %q", code, shown)
	}
}
