package post_test

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/post"
)

// attack is how a hostile device answers a connection, after it has received the request.
type attack func(net.Conn)

// send answers with text, and closes the connection.
func send(text string) attack { return func(c net.Conn) { _, _ = io.WriteString(c, text) } }

// repeat answers with head, and then with more for as long as the client reads.
func repeat(head, more string, pause time.Duration) attack {
	return func(c net.Conn) {
		for text := head; ; text = more {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
			time.Sleep(pause) // a slow device
		}
	}
}

const ok = "HTTP/1.1 200 OK\r\n"

// attacks is never changed.
var attacks = map[string]attack{
	"no HTTP":                 send("hello\r\n\r\n"),
	"another HTTP":            send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	"half a status":           send("HTTP/1.1 2"),
	"half a header":           send(ok + "Content-Le"),
	"a negative length":       send(ok + "Content-Length: -1\r\n\r\nx"),
	"a length beyond numbers": send(ok + "Content-Length: 99999999999999999999\r\n\r\nx"),
	"two lengths":             send(ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
	"less than announced":     send(ok + "Content-Length: 10\r\n\r\nx"),
	"far more than is read":   send(ok + "Content-Length: 9999999999\r\n\r\n" + strings.Repeat("x", 70<<10)),
	"a chunk of no length":    send(ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n"),
	"a chunk too long":        send(ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx"),
	"half of the chunks":      send(ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"),
	"endless":                 repeat(ok+"\r\n", strings.Repeat("x", 4096), 0),
	"endless chunks":          repeat(ok+"Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", 0),
	"endless headers":         repeat(ok, "X: "+strings.Repeat("x", 1024)+"\r\n", 0),
	"one endless header":      repeat(ok+"X: ", strings.Repeat("x", 4096), 0),
	"endless status":          repeat("HTTP/1.1 200 ", strings.Repeat("x", 4096), 0),
	"always about to answer":  repeat("", "HTTP/1.1 100 Continue\r\n\r\n", 0),
	"slow headers":            repeat(ok, "X: y\r\n", 5*time.Millisecond),
	"slow body":               repeat(ok+"Content-Length: 60000\r\n\r\n", "x", 5*time.Millisecond),
}

// attacker is the environment variable under which this test binary plays the hostile devices. They run in a process of
// their own: what they allocate is not the client's memory.
const attacker = "REKEYD_POST_ATTACKER"

func TestMain(m *testing.M) {
	if os.Getenv(attacker) != "" {
		serveAttacks()
		return
	}
	goleak.VerifyTestMain(m)
}

// serveAttacks plays every attack at an address of its own, and prints the addresses by name.
func serveAttacks() {
	at := map[string]string{}
	for name, answer := range attacks {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		at[name] = l.Addr().String()
		go play(l, answer)
	}
	if err := json.NewEncoder(os.Stdout).Encode(at); err != nil {
		panic(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test closes it, or ends
}

// play answers every connection to l, after it has received a request.
func play(l net.Listener, answer attack) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			var request [1024]byte
			if _, err := c.Read(request[:]); err == nil {
				answer(c)
			}
		}()
	}
}

// startAttacker starts the process of the hostile devices and returns their addresses, by the names of their attacks.
func startAttacker(t *testing.T) map[string]string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), attacker+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	var at map[string]string
	if err := json.NewDecoder(out).Decode(&at); err != nil || len(at) != len(attacks) {
		t.Fatalf("%d hostile devices, %v", len(at), err)
	}
	return at
}

func TestTimeAndMemoryAreBounded(t *testing.T) {
	for name, at := range startAttacker(t) {
		t.Run(name, func(t *testing.T) {
			c := post.New(netip.MustParseAddrPort(at), post.Options{Timeout: 200 * time.Millisecond})
			defer c.Close()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begun := time.Now()
			a, err := c.Send(t.Context(), "/", nil, []byte("x"))
			if !errors.Is(err, home.ErrUnreachable) || len(a.Body) != 0 {
				t.Errorf("got %d bytes, %v", len(a.Body), err)
			}
			if took := time.Since(begun); took > time.Minute { // most of these attacks never end
				t.Errorf("took %v", took)
			}
			if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 4<<20 {
				t.Errorf("the client allocated %d bytes", after.TotalAlloc-before.TotalAlloc)
			}
		})
	}
}

// FuzzSessionCanBeSentBack states that what is taken for a session's name can stand in a header, and cannot add to it.
func FuzzSessionCanBeSentBack(f *testing.F) {
	for _, s := range []string{
		"TP_SESSIONID=0A1B;TIMEOUT=1440", "TIMEOUT=1;TP_SESSIONID=a", "TP_SESSIONID=a b", "TP_SESSIONID=a\r\nX: y",
		"TP_SESSIONID=é", "TP_SESSIONID", "=;;=", "TP_SESSIONID=" + strings.Repeat("a", 129),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got := post.SessionCookie(http.Header{"Set-Cookie": {line}})
		if len(got) > 128 || strings.ContainsAny(got, " \r\n;,\x00\x7f") ||
			got != "" && !strings.Contains(line, "TP_SESSIONID="+got) {
			t.Errorf("%q gives %q", line, got)
		}
	})
}
