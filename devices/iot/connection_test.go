package iot_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/iot"
	"github.com/rekeyd/rekeyd/devices/xor"
)

var nowhere = netip.MustParseAddrPort("127.0.0.1:9999")

// keeper answers a connection for as long as it is open, or n times, and counts the questions.
func keeper(asked *atomic.Int32, n int, reply func(string) string) func(net.Conn, string) {
	return func(c net.Conn, question string) {
		for i := 1; ; i++ {
			asked.Add(1)
			if _, err := c.Write(frame(reply(question))); err != nil || i == n {
				return
			}
			raw, err := xor.ReadFrame(c, 1<<16)
			if err != nil {
				return
			}
			question = string(raw)
		}
	}
}

// plug answers as one that takes everything.
func plug(asked string) string {
	switch {
	case strings.Contains(asked, `"unbind"`):
		return `{"cnCloud":{"unbind":{"err_code":0}}}`
	case strings.Contains(asked, `"bind"`):
		return `{"cnCloud":{"bind":{"err_code":0}}}`
	}
	return good
}

func TestDeviceIsSpokenToOverOneConnectionWhereItKeepsIt(t *testing.T) {
	for _, c := range []struct {
		name         string
		answers      int // after which the device hangs up; 0 for never
		conns, asked int32
	}{
		{"keeps it open", 0, 1, 3},
		{"hangs up after every answer", 1, 3, 3},
		{"hangs up after two answers", 2, 2, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			var conns, asked atomic.Int32
			converse := keeper(&asked, c.answers, plug)
			dev := hostile(t, func(conn net.Conn, question string) { conns.Add(1); converse(conn, question) })
			if err := driver(t, iot.Options{}).Rekey(t.Context(), dev, move); err != nil {
				t.Fatal(err)
			}
			if conns.Load() != c.conns || asked.Load() != c.asked {
				t.Errorf("%d connections and %d questions, want %d and %d", conns.Load(), asked.Load(), c.conns, c.asked)
			}
		})
	}
}

func TestConnectionThatBreaksInTheMidstIsNotTakenForAnAnswer(t *testing.T) {
	dev := hostile(t, func(c net.Conn, asked string) {
		switch {
		case strings.Contains(asked, `bind"`):
			_, _ = c.Write(frame(plug(asked))[:9])
		default:
			_, _ = c.Write(frame(good))
		}
	})
	if err := driver(t, iot.Options{}).Rekey(t.Context(), dev, move); !errors.Is(err, home.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

func TestWordsOfARefusalAreQuotedWhereTheyRevealNothing(t *testing.T) {
	for _, c := range []struct{ errMsg, want string }{
		{`"Account is locked, try later."`, "code -20675 (Account is locked, try later.): "},
		{`"wrong e-mail/password"`, "code -20675 (wrong e-mail/password): "},
		{`"no: Hunter!"`, "code -20675: "},
		{`"no: OLD-password"`, "code -20675: "},
		{`"no: ann@example.org"`, "code -20675: "},
		{`"no: hunter"`, "code -20675: "},
		{`"no: aHVudGVy"`, "code -20675: "}, // base64 of hunter
		{`"no: b86c7e3a"`, "code -20675: "},
		{`"no: abcdefabcdefabcdefabcdef"`, "code -20675: "},
		{`"no\u001b[2J"`, "code -20675: "},
		{`"` + strings.Repeat("no ", 100) + `"`, "code -20675: "},
		{`{"a":1}`, "code -20675: "},
		{`null`, "code -20675: "},
	} {
		dev := hostile(t, func(conn net.Conn, asked string) {
			if strings.Contains(asked, `bind"`) {
				_, _ = conn.Write(frame(`{"cnCloud":{"unbind":{"err_code":-20675,"err_msg":` + c.errMsg + `}}}`))
				return
			}
			_, _ = conn.Write(frame(good))
		})
		m := move
		m.To.Password = home.NewSecret("hunter")
		err := driver(t, iot.Options{}).Rekey(t.Context(), dev, m)
		if !errors.Is(err, home.ErrRefused) || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: got %v, want %q in it", c.errMsg, err, c.want)
		}
	}
}

// Some state that they are bound when they were given a pair that they could not try: that is no evidence.
func TestPasswordThatWasNeverTriedIsNotCurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var connected atomic.Int32
		answer := func(asked string) string {
			if strings.Contains(asked, `"bind"`) {
				return `{"cnCloud":{"bind":{"err_code":-21,"err_msg":"can not connect to the server"}}}`
			}
			return strings.Replace(plug(asked), `"cld_connection":1`, fmt.Sprintf(`"cld_connection":%d`, connected.Load()), 1)
		}
		d := driver(t, iot.Options{})
		iot.Dial(d, func() net.Conn {
			here, there := net.Pipe()
			go func() {
				defer there.Close()
				for {
					raw, err := xor.ReadFrame(there, 1<<16)
					if err != nil {
						return
					}
					if _, err := there.Write(frame(answer(string(raw)))); err != nil {
						return
					}
				}
			}()
			return here
		})
		dev := home.Device{ID: "mac-50c7bf010203", Protocol: home.IOT, Addr: nowhere}
		for _, c := range []struct {
			cloud    int32
			wait     time.Duration
			recorded home.Epoch
			state    home.State
			epoch    home.Epoch
		}{
			{0, 0, 4, home.Pending, 0},
			{-1, 9 * time.Minute, 4, home.Pending, 0},
			{0, 2 * time.Minute, 4, home.Stale, 4}, // long enough: it is bound again
			{1, 0, 4, home.Current, 5},
			{0, 0, 5, home.Current, 5}, // seen to hold: the ledger has it
		} {
			connected.Store(c.cloud)
			if c.wait == 0 && c.state == home.Pending {
				if err := d.Rekey(t.Context(), dev, move); !errors.Is(err, home.ErrOffline) {
					t.Fatal(err)
				}
			}
			time.Sleep(c.wait)
			subject := both
			subject.Recorded = c.recorded
			f := probe(t, d, dev, subject)
			expect(t, f, home.Ours, c.state, c.epoch)
			explained := strings.Contains(f.Verdict.Detail, "not connected")
			if c.state != home.Pending && explained != (c.cloud != 1) {
				t.Errorf("cloud %d: detail %q", c.cloud, f.Verdict.Detail)
			}
		}
	})
}

// A device that accepts the question and does not answer in time is on: its owner need not switch it on.
func TestADeviceThatAnswersTooSlowlyIsNamedSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := driver(t, iot.Options{})
		iot.Dial(d, func() net.Conn {
			here, there := net.Pipe()
			go func() {
				defer there.Close()
				_, _ = xor.ReadFrame(there, 1<<16)
				_, _ = xor.ReadFrame(there, 1<<16) // until the driver gives up
			}()
			return here
		})
		dev := home.Device{ID: "mac-50c7bf010203", Protocol: home.IOT, Addr: nowhere}
		f := probe(t, d, dev, both)
		if f.Verdict.State != home.Unreachable || f.Verdict.Detail != home.ErrSlow.Error() {
			t.Errorf("found %s (%s)", f.Verdict.State, f.Verdict.Detail)
		}
	})
}
