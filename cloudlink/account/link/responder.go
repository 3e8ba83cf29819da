package link

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// talks are the conversations with members. Each member's messages are taken in order, by one worker at a time; a bounded number of
// workers serves all.
type talks struct {
	l *Link

	mu    sync.Mutex // guards boxes and what waits in them
	boxes map[string]*box
	ready chan *box

	open challenges
}

// box holds the messages of one member that wait.
type box struct {
	member  string
	waiting [][]byte
	taken   bool // by a worker, or in ready

	known bool   // seq was read from the store
	seq   uint64 // the highest that was accepted; of the worker that has the box
}

const (
	maxBoxes   = 20_000 // members at once
	maxWaiting = 64     // messages of one member; an honest one has a few conversations open
)

func newTalks(l *Link) *talks {
	return &talks{
		l: l, boxes: map[string]*box{}, ready: make(chan *box, maxBoxes), open: challenges{by: map[string]challenge{}, proven: map[string]challenge{}},
	}
}

func (t *talks) start(ctx context.Context, parts *sync.WaitGroup) {
	for range max(2, runtime.GOMAXPROCS(0)) {
		parts.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case b := <-t.ready:
					t.serve(ctx, b)
				}
			}
		})
	}
	parts.Go(func() {
		sweep := time.NewTicker(20 * time.Minute)
		defer sweep.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-sweep.C:
				t.open.sweep(t.l.s.Now())
			}
		}
	})
}

// receive hands a message over. One that finds no room is dropped: its sender repeats it.
func (t *talks) receive(m mqtt.Message) {
	topic, ok := wire.ParseTopic(m.Topic)
	if !ok || topic.Leaf != "outbox" || m.Topic != wire.OutboxTopic(topic.Name) {
		t.l.counts.unexpected.Add(1)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.boxes[topic.Name]
	if b == nil && len(t.boxes) >= maxBoxes {
		t.shrink()
	}
	if b == nil && len(t.boxes) < maxBoxes {
		b = &box{member: topic.Name}
		t.boxes[topic.Name] = b
	}
	if b == nil || len(b.waiting) >= maxWaiting {
		t.l.counts.overflow.Add(1)
		return
	}
	b.waiting = append(b.waiting, m.Payload)
	if !b.taken {
		b.taken = true
		t.ready <- b // has room for every box
	}
}

// shrink forgets the boxes of strangers; t.mu is held.
func (t *talks) shrink() {
	for name, b := range t.boxes {
		if _, err := t.l.st.Member(name); err != nil && !b.taken {
			delete(t.boxes, name)
		}
	}
}

// serve takes the messages of a member, until none waits.
func (t *talks) serve(ctx context.Context, b *box) {
	for ctx.Err() == nil {
		t.mu.Lock()
		messages := b.waiting
		b.waiting = nil
		if len(messages) == 0 {
			b.taken = false
		}
		t.mu.Unlock()
		if len(messages) == 0 {
			return
		}
		for _, raw := range messages {
			t.take(b, raw)
		}
	}
}

// take takes one message: its form, its sender, whether it is new, and then its contents.
func (t *talks) take(b *box, raw []byte) {
	l := t.l
	m, err := wire.ParseMessage(raw)
	if err != nil {
		l.dropped(&l.counts.malformed, b.member, err)
		return
	}
	from, err := l.st.Member(b.member)
	known := err == nil
	if err != nil && !errors.Is(err, home.ErrNotFound) {
		l.o.Log.Error("member not read", "member", b.member, "err", err)
		return
	}
	enrol, enrols := m.Body.(*wire.Enrol)
	keys := wire.Keys{}
	switch {
	case enrols:
		keys = enrol.Keys
	case known:
		keys = from.Keys
	default:
		// It is not a member (any more), and needs the refusal to do something about it.
		if m.From == b.member && m.To == l.id.Name {
			t.answer(b, m, &wire.Refusal{Code: wire.CodeUnknown, Detail: "enrol first"})
		}
		return
	}
	if m.From != b.member {
		err = home.ErrForged
	} else {
		err = m.Verify(keys, l.id.Name)
	}
	if err != nil {
		l.dropped(&l.counts.forged, b.member, err)
		return
	}
	if !b.known {
		if b.seq, err = l.st.LastSeq(b.member); err != nil {
			l.o.Log.Error("member not read", "member", b.member, "err", err)
			return
		}
		b.known = true
	}
	// A hub that was restored from a backup counts from there again. The owner's new pairing, used for the first time, shows
	// that it is no replay.
	if m.Seq <= b.seq && !(enrols && l.unused(enrol.Pairing)) {
		l.counts.replayed.Add(1)
		return
	}
	if m.Expired(l.s.Now(), false) {
		l.counts.expired.Add(1)
		return
	}
	b.seq = m.Seq
	if enrols {
		t.enrol(b, m, enrol)
		return
	}
	t.answerTo(b, from, m)
}

// answerTo answers a member's message about its account.
func (t *talks) answerTo(b *box, from account.Member, m *wire.Message) {
	l := t.l
	a, err := l.st.Account(from.Account)
	if err != nil {
		t.answer(b, m, &wire.Refusal{Code: wire.CodeUnknown})
		return
	}
	c := &talk{l: l, open: &t.open, from: from, a: a, said: account.Said{Member: from.Name, Seq: m.Seq}}
	var answer wire.Body
	switch body := m.Body.(type) {
	case *wire.Ask:
		if answer = c.ours(body.Account); answer == nil {
			t.grants(b, c, m, body)
			return
		}
	case *wire.Ack:
		answer, err = c.ack(body)
	case *wire.Bind:
		answer, err = c.bind(body)
	case *wire.Unbind:
		answer, err = c.unbind(body)
	case *wire.Begin:
		answer, err = c.begin(body)
	case *wire.Proof:
		answer, err = c.proof(body)
	case *wire.Confirm:
		answer, err = c.confirm(body)
	case *wire.Relayed:
		if !l.relays.take(from.Name, m.Re, body) {
			l.counts.unexpected.Add(1) // late: the app has its answer
		}
		return
	default:
		l.counts.unexpected.Add(1)
		return
	}
	switch {
	case errors.Is(err, account.ErrReplayed):
		l.counts.replayed.Add(1)
		return
	case errors.Is(err, account.ErrEpoch):
		answer = &wire.Refusal{Code: wire.CodeOldEpoch}
	case errors.Is(err, home.ErrNotFound): // removed since
		answer = &wire.Refusal{Code: wire.CodeUnknown}
	case err != nil:
		l.o.Log.Error("message not processed", "type", m.Type, "member", from.Name, "err", err)
		answer = &wire.Refusal{Code: wire.CodeBusy, Detail: "try again"}
	}
	t.answer(b, m, answer)
}

// grants answers Ask: each grant that the member has missed, and then the receipt.
func (t *talks) grants(b *box, c *talk, m *wire.Message, ask *wire.Ask) {
	gs, err := t.l.st.Grants(c.from.Name, ask.Epoch)
	if err != nil {
		t.l.o.Log.Error("grants not read", "member", c.from.Name, "err", err)
		t.answer(b, m, &wire.Refusal{Code: wire.CodeBusy})
		return
	}
	for _, g := range gs {
		t.answer(b, m, &wire.Grant{Notice: g.Notice, Sealed: g.Sealed})
	}
	if receipt, err := c.receipt(nil); err == nil {
		t.answer(b, m, receipt)
	}
}

func (t *talks) answer(b *box, m *wire.Message, body wire.Body) {
	l := t.l
	if r, ok := body.(*wire.Refusal); ok {
		l.counts.refused.Add(1)
		l.o.Log.Debug("message refused", "type", m.Type, "member", b.member, "code", r.Code)
	}
	if err := l.send(b.member, m.ID, body); err != nil && !errors.Is(err, home.ErrUnavailable) {
		l.o.Log.Error("answer not sent", "type", body.Type(), "member", b.member, "err", err)
	}
}
