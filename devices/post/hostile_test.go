package post_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/post"
)

// speak listens on loopback, and speaks on each connection as it is told until the test ends.
func speak(t *testing.T, talk func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				var b [1024]byte
				if _, err := c.Read(b[:]); err == nil { // it is asked first
					talk(c)
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return netip.MustParseAddrPort(l.Addr().String())
}

// repeat says head, and then again and again more, until nobody listens.
func repeat(head, more string, pause time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		for said := head; ; said = more {
			if _, err := io.WriteString(c, said); err != nil {
				return
			}
			time.Sleep(pause) // a device that takes its time
		}
	}
}

func TestWhateverAnswersTimeAndMemoryAreBounded(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	once := func(s string) func(net.Conn) { return func(c net.Conn) { _, _ = io.WriteString(c, s) } }
	for name, talk := range map[string]func(net.Conn){
		"no HTTP":                 once("hello\r\n\r\n"),
		"another HTTP":            once("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		"half a status":           once("HTTP/1.1 2"),
		"half a header":           once(ok + "Content-Le"),
		"a negative length":       once(ok + "Content-Length: -1\r\n\r\nx"),
		"a length beyond numbers": once(ok + "Content-Length: 99999999999999999999\r\n\r\nx"),
		"two lengths":             once(ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
		"less than it says":       once(ok + "Content-Length: 10\r\n\r\nx"),
		"far more than is read":   once(ok + "Content-Length: 9999999999\r\n\r\n" + strings.Repeat("x", 70<<10)),
		"a chunk of no length":    once(ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n"),
		"a chunk too long":        once(ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx"),
		"half of the chunks":      once(ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"),
		"endless":                 repeat(ok+"\r\n", strings.Repeat("x", 4096), 0),
		"endless chunks":          repeat(ok+"Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", 0),
		"endless headers":         repeat(ok, "X: "+strings.Repeat("x", 1024)+"\r\n", 0),
		"one endless header":      repeat(ok+"X: ", strings.Repeat("x", 4096), 0),
		"endless status":          repeat("HTTP/1.1 200 ", strings.Repeat("x", 4096), 0),
		"always about to answer":  repeat("", "HTTP/1.1 100 Continue\r\n\r\n", 0),
		"slow headers":            repeat(ok, "X: y\r\n", 5*time.Millisecond),
		"slow body":               repeat(ok+"Content-Length: 60000\r\n\r\n", "x", 5*time.Millisecond),
	} {
		t.Run(name, func(t *testing.T) {
			l := post.Open(speak(t, talk), post.Options{Timeout: 200 * time.Millisecond})
			defer l.Close()
			var was, is runtime.MemStats
			runtime.ReadMemStats(&was)
			begun := time.Now()
			a, err := l.Send(t.Context(), "/", nil, []byte("x"))
			if !errors.Is(err, home.ErrUnreachable) || len(a.Body) != 0 {
				t.Errorf("got %d bytes, %v", len(a.Body), err)
			}
			if took := time.Since(begun); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
			if runtime.ReadMemStats(&is); is.TotalAlloc-was.TotalAlloc > 4<<20 {
				t.Errorf("%d bytes of memory were taken", is.TotalAlloc-was.TotalAlloc)
			}
		})
	}
}

// FuzzSessionCanBeSentBack states that what is taken for a session's name can stand in a header, and cannot add to it.
func FuzzSessionCanBeSentBack(f *testing.F) {
	for _, s := range []string{"TP_SESSIONID=0A1B;TIMEOUT=1440", "TIMEOUT=1;TP_SESSIONID=a", "TP_SESSIONID=a b", "TP_SESSIONID=a\r\nX: y", "TP_SESSIONID=é", "TP_SESSIONID", "=;;=", "TP_SESSIONID=" + strings.Repeat("a", 129)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got := post.Session(http.Header{"Set-Cookie": {line}})
		if len(got) > 128 || strings.ContainsAny(got, " \r\n;,\x00\x7f") || got != "" && !strings.Contains(line, "TP_SESSIONID="+got) {
			t.Errorf("%q gives %q", line, got)
		}
	})
}
