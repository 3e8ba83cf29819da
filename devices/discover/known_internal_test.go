package discover // the packets of a query are bytes that no responder of this machine checks

import (
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestKnownAnswersFollowTheQuestionInPacketsThatFit(t *testing.T) {
	b := newBook(2000, func(string) {})
	now := time.Unix(1_800_000_000, 0)
	enter := func(typ string, n int, ttl uint32, at time.Time) {
		for i := range n {
			name := fmt.Sprintf("%s-%d.%s.local.", typ[1:4], i, typ)
			b.enterService(record{name: typ + ".local.", raw: typ + ".local.", kind: dns.TypePTR, ttl: ttl, to: name}, at)
		}
	}
	enter("_wled._tcp", 1, 120, now.Add(-time.Minute)) // half of its life is over
	enter("_hap._tcp", 100, 120, now)
	types, known := b.browse(now)
	if len(types) != len(serviceTypes) || len(known) != 100 {
		t.Fatalf("%d types of %d, %d known answers, want 100", len(types), len(serviceTypes), len(known))
	}
	packets, answers := queries(types, known), map[string]bool{}
	for at, raw := range packets {
		var m dns.Msg
		if err := m.Unpack(raw); err != nil || len(raw) > maxPacket || m.Response ||
			m.Truncated != (at < len(packets)-1) || (len(m.Question) == len(types)) != (at == 0) {
			t.Errorf("packet %d of %d: %v, %d bytes, %d questions, truncated %t",
				at+1, len(packets), err, len(raw), len(m.Question), m.Truncated)
		}
		for _, rr := range m.Answer {
			if rr.Header().Ttl != 120 {
				t.Errorf("%s: not the TTL with which it came", rr)
			}
			answers[rr.(*dns.PTR).Ptr] = true
		}
	}
	if len(packets) < 2 || len(answers) != 100 {
		t.Errorf("%d packets with %d answers, want several with 100", len(packets), len(answers))
	}
	if again, _ := b.browse(now.Add(askAgain / 2)); len(again) != 0 {
		t.Errorf("asked again within a second: %q", again)
	}
	if queries(nil, known) != nil {
		t.Error("known answers are sent without a question")
	}
}

// A type is asked for again once a second while that brings something new, then less often, then no more.
func TestQuestionIsRepeatedWhileItBringsSomethingNew(t *testing.T) {
	b := newBook(10, func(string) {})
	began := time.Unix(1_800_000_000, 0)
	b.browse(began)
	var asked []time.Duration
	for now := began; now.Before(began.Add(time.Minute)); now = now.Add(100 * time.Millisecond) {
		if since := now.Sub(began); since == 0 || since == 1100*time.Millisecond {
			b.hint(fmt.Sprintf("plug%d._hap._tcp.local.", since), now)
		}
		types, _, _ := b.browseAgain(now)
		if len(types) > 1 || len(types) == 1 && types[0] != "_hap._tcp" {
			t.Errorf("asks for %q", types)
		}
		if len(types) == 1 {
			asked = append(asked, now.Sub(began))
		}
	}
	if got, want := fmt.Sprint(asked), "[1s 2s 3s 5s]"; got != want {
		t.Errorf("asked after %s, want %s", got, want)
	}
	if types, _, again := b.browseAgain(began.Add(time.Hour)); len(types) != 0 || !again.IsZero() {
		t.Errorf("an hour later it asks for %q, and again at %s", types, again)
	}
}
