package iot_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/iot"
	"github.com/rekeyd/rekeyd/devices/xor"
)

// hostile takes connections on loopback, reads a question of each, and answers as it likes, until the test ends.
func hostile(t *testing.T, answer func(net.Conn, string)) home.Device {
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
				if raw, err := xor.ReadFrame(c, 1<<16); err == nil {
					answer(c, string(raw))
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return home.Device{
		ID:       "mac-50c7bf010203",
		Keys:     []string{"mac:50c7bf010203"},
		Protocol: home.IOT,
		Addr:     l.Addr().(*net.TCPAddr).AddrPort(),
	}
}

func frame(plain string) []byte {
	var b strings.Builder
	_ = xor.WriteFrame(&b, []byte(plain)) // a strings.Builder takes all
	return []byte(b.String())
}

const good = `{"system":{"get_sysinfo":{"mac":"50:C7:BF:01:02:03",` +
	`"deviceId":"8006AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","type":"IOT.SMARTPLUGSWITCH","model":"HS100(US)",` +
	`"alias":"Hall","err_code":0}},` +
	`"cnCloud":{"get_info":{"username":"ann@example.org","binded":1,"cld_connection":1,"err_code":0}},` +
	`"smartlife.iot.common.cloud":{"err_code":-1,"err_msg":"module not support"}}`

func TestHostileAnswersAreNoAnswers(t *testing.T) {
	for name, answer := range map[string]func(net.Conn){
		"closed at once": func(net.Conn) {},
		"half a length":  func(c net.Conn) { _, _ = c.Write([]byte{0, 0}) },
		"truncated":      func(c net.Conn) { _, _ = c.Write(frame(good)[:200]) },
		"oversize":       func(c net.Conn) { _, _ = c.Write(binary.BigEndian.AppendUint32(nil, 1<<31)) },
		"just too large": func(c net.Conn) { _, _ = c.Write(frame(`"` + strings.Repeat("x", 64<<10) + `"`)) },
		"endless": func(c net.Conn) {
			for {
				if _, err := c.Write([]byte{0xff, 0xff, 0xff, 0xff}); err != nil {
					return
				}
			}
		},
		"slow": func(c net.Conn) {
			for _, b := range frame(good) {
				time.Sleep(5 * time.Millisecond)
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
			}
		},
		"not JSON": func(c net.Conn) { _, _ = c.Write(frame("hello ann@example.org")) },
		"empty":    func(c net.Conn) { _, _ = c.Write(frame("")) },
		"null":     func(c net.Conn) { _, _ = c.Write(frame("null")) },
		"a list":   func(c net.Conn) { _, _ = c.Write(frame("[{}]")) },
		"deep":     func(c net.Conn) { _, _ = c.Write(frame(strings.Repeat(`{"a":`, 10000))) },
		"module is a number": func(c net.Conn) {
			_,
				_ = c.Write(frame(strings.Replace(good, `{"get_sysinfo":`, `7,"x":{"y":`, 1)))
		},
		"mac is a number": func(c net.Conn) {
			_,
				_ = c.Write(frame(strings.Replace(good, `"50:C7:BF:01:02:03"`, `7`, 1)))
		},
		"binded is text": func(c net.Conn) {
			_,
				_ = c.Write(frame(strings.Replace(good, `"binded":1`, `"binded":"1"`, 1)))
		},
		"username is null of another type": func(c net.Conn) {
			_, _ = c.Write(frame(strings.Replace(good, `"ann@example.org"`, `["ann@example.org"]`, 1)))
		},
		"no identity": func(c net.Conn) {
			_, _ = c.Write(frame(strings.NewReplacer(`"50:C7:BF:01:02:03"`, `""`, "8006", "").Replace(good)))
		},
		"no code": func(c net.Conn) { _, _ = c.Write(frame(strings.ReplaceAll(good, `"err_code":0`, `"x":0`))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dev := hostile(t, func(c net.Conn, _ string) { answer(c) })
			d := driver(t, iot.Options{Timeout: 300 * time.Millisecond, BindTimeout: 300 * time.Millisecond})
			f := probe(t, d, dev, both)
			expect(t, f, home.Unknown, home.Unreachable, 0)
			err := d.Rekey(t.Context(), dev, move)
			if !errors.Is(err, home.ErrUnreachable) {
				t.Errorf("rekey: %v", err)
			}
			if text := fmt.Sprint(f, err); strings.Contains(text, "hello") || strings.Contains(text, email) {
				t.Errorf("it quotes a stranger: %s", text)
			}
		})
	}
}

func TestUsableAnswersAreUsed(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		match  home.Match
		state  home.State
	}{
		"as it should be": {good, home.Ours, home.Stale},
		"no word of the other cloud": {strings.Replace(good,
			`,"smartlife.iot.common.cloud":{"err_code":-1,"err_msg":"module not support"}`, "", 1), home.Ours, home.Stale},
		"username without binded": {strings.Replace(good, `"binded":1`, `"binded":0`, 1), home.Unbound, home.Blank},
		"no cloud at all": {
			strings.Replace(good, `"cnCloud":{"get_info"`, `"other":{"get_info"`, 1),
			home.Unknown, home.Unsupported,
		},
		"cloud does not know": {
			strings.Replace(good, `"cld_connection":1,"err_code":0`, `"err_code":-1`, 1),
			home.Unknown, home.Unsupported,
		},
		"another device": {strings.Replace(good, "01:02:03", "01:02:04", 1), home.Unknown, home.Mismatch},
	} {
		t.Run(name, func(t *testing.T) {
			dev := hostile(t, func(conn net.Conn, _ string) { _, _ = conn.Write(frame(c.answer)) })
			f := probe(t, driver(t, iot.Options{}), dev, both)
			expect(t, f, c.match, f.Verdict.State, f.Verdict.Epoch)
			if f.Verdict.State != c.state {
				t.Errorf("found %s, want %s", f.Verdict.State, c.state)
			}
		})
	}
}

// A device that lies about what it did is found out, or did what it states; one that quotes the password is not quoted.
func TestARefusalIsNamedByItsCode(t *testing.T) {
	for _, c := range []struct {
		unbind, bind string
		want         error
		text         string
	}{
		{`{"err_code":-20600}`, "", home.ErrRefused, "unbind: code -20600"},
		{`{"err_code":-8}`, `{"err_code":0}`, nil, ""},
		{`{"err_code":-4002}`, `{"err_code":-21}`, home.ErrOffline, "code -21"},
		{
			`{"err_code":0}`, `{"err_code":-20675,"err_msg":"no: new-password for ann@example.org"}`, home.ErrRefused,
			"nor did it take the old one again: bind: code -20675",
		},
		{`{"err_code":0}`, `{"err_code":-32}`, home.ErrBusy, "code -32"},
		{`{"err_code":-32}`, "", home.ErrBusy, "code -32"},
		{`{"err_code":0}`, `{"err_code":"no"}`, home.ErrUnreachable, "does not speak its protocol"},
		{`{"err_code":0}`, `{}`, home.ErrUnreachable, "does not speak its protocol"},
		{`{}`, "", home.ErrUnreachable, "does not speak its protocol"},
	} {
		dev := hostile(t, func(conn net.Conn, asked string) {
			switch {
			case strings.Contains(asked, `"unbind"`):
				_, _ = conn.Write(frame(`{"cnCloud":{"unbind":` + c.unbind + `}}`))
			case strings.Contains(asked, `"bind"`):
				_, _ = conn.Write(frame(`{"cnCloud":{"bind":` + c.bind + `}}`))
			default:
				_, _ = conn.Write(frame(good))
			}
		})
		err := driver(t, iot.Options{}).Rekey(t.Context(), dev, move)
		if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s, %s: got %v, want %q and %v", c.unbind, c.bind, err, c.text, c.want)
		}
		if text := fmt.Sprint(err); strings.Contains(text, "password for") || strings.Contains(text, "new-password") ||
			strings.Contains(text, email) {
			t.Errorf("it quotes the device: %s", text)
		}
	}
}

func FuzzAnswerIsReadOrRefused(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"system":{"get_sysinfo":{"system":{"mac":"50-C7-BF-01-02-03"},"err_code":0}}}`))
	f.Add([]byte(strings.Replace(good, `"Hall"`, `"\u0007\ud800Hall\n"`, 1)))
	f.Add([]byte(`{"system":null,"cnCloud":[]}`))
	me := home.Device{ID: "mac-50c7bf010203", Keys: []string{"mac:50c7bf010203"}, Kind: home.Plug}
	f.Fuzz(func(t *testing.T, raw []byte) {
		match, read, same := iot.ReadAnswer(raw, me, email)
		if read.ID != me.ID || read.Keys[0] != me.Keys[0] {
			t.Errorf("what was known of the device was changed: %+v", read)
		}
		if same && len(read.Keys) > 2 {
			t.Errorf("more identities than a device has: %q", read.Keys)
		}
		if len(read.Name) > 120 || strings.ContainsAny(read.Name+read.Model, "\n\r\x00\x1b") {
			t.Errorf("unfit to print: %q, %q", read.Name, read.Model)
		}
		if match == home.Ours && !strings.Contains(strings.ToLower(string(raw)), "@") &&
			!strings.Contains(string(raw), `\u`) {
			t.Error("ours, and no word of the account")
		}
	})
}
