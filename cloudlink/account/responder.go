package account

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

type counts struct {
	malformed, forged, replayed, unexpected, expired, overflow, refused, throttled, mailFailed atomic.Uint64
}

// talks are the conversations with members. Each member's messages are taken in order, by one worker at a time; a bounded number of
// workers serves all.
type talks struct {
	s *Service

	mu    sync.Mutex // guards boxes and what waits in them
	boxes map[string]*box
	ready chan *box

	open challenges
}

// box holds what one member has said and nobody has taken yet.
type box struct {
	member  string
	waiting [][]byte
	taken   bool // by a worker, or in ready

	seq uint64 // the highest that was taken; of the worker that has the box
}

const (
	maxBoxes   = 20_000 // members that are spoken with at once
	maxWaiting = 64     // messages of one member; an honest one has a few conversations open
)

func newTalks(s *Service) *talks {
	return &talks{s: s, boxes: map[string]*box{}, ready: make(chan *box, maxBoxes), open: challenges{by: map[string]challenge{}}}
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
}

// receive hands a message over. What finds no room is dropped: its sender says it again.
func (t *talks) receive(m mqtt.Message) {
	topic, ok := wire.ParseTopic(m.Topic)
	if !ok || topic.Leaf != "outbox" || m.Topic != wire.OutboxTopic(topic.Name) {
		t.s.counts.unexpected.Add(1)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.boxes[topic.Name]
	if b == nil && len(t.boxes) >= maxBoxes {
		t.shrink()
	}
	if b == nil && len(t.boxes) < maxBoxes {
		b = &box{member: topic.Name, seq: t.s.seqOf(topic.Name)}
		t.boxes[topic.Name] = b
	}
	if b == nil || len(b.waiting) >= maxWaiting {
		t.s.counts.overflow.Add(1)
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
		if _, ok := t.s.dir.member(name); !ok && !b.taken {
			delete(t.boxes, name)
		}
	}
}

// serve takes what a member has said, until there is nothing left.
func (t *talks) serve(ctx context.Context, b *box) {
	for ctx.Err() == nil {
		t.mu.Lock()
		said := b.waiting
		b.waiting = nil
		if len(said) == 0 {
			b.taken = false
		}
		t.mu.Unlock()
		if len(said) == 0 {
			return
		}
		for _, raw := range said {
			t.take(b, raw)
		}
	}
}

// take takes one message: its form, its sender, whether it is new, and then what it says.
func (t *talks) take(b *box, raw []byte) {
	s := t.s
	m, err := wire.ParseMessage(raw)
	if err != nil {
		s.dropped(&s.counts.malformed, b.member, err)
		return
	}
	from, known := s.dir.member(b.member)
	enrol, enrols := m.Body.(*wire.Enrol)
	keys := wire.Keys{}
	switch {
	case enrols:
		keys = enrol.Keys
	case known:
		keys = from.Keys
	default:
		// It is not a member (any more), and has to hear so to do something about it.
		if m.From == b.member && m.To == s.id.Name {
			t.answer(b, m, &wire.Refusal{Code: wire.CodeUnknown, Detail: "enrol first"})
		}
		return
	}
	if m.From != b.member {
		err = home.ErrForged
	} else {
		err = m.Verify(keys, s.id.Name)
	}
	if err != nil {
		s.dropped(&s.counts.forged, b.member, err)
		return
	}
	// A hub that was restored from a backup counts from there again. The owner's new pairing, used for the first time, says
	// that it is no replay.
	if m.Seq <= b.seq && !(enrols && s.unused(enrol.Pairing)) {
		s.counts.replayed.Add(1)
		return
	}
	if m.Expired(s.now(), false) {
		s.counts.expired.Add(1)
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
func (t *talks) answerTo(b *box, from *member, m *wire.Message) {
	s := t.s
	a, ok := s.dir.account(from.Account)
	if !ok {
		t.answer(b, m, &wire.Refusal{Code: wire.CodeUnknown})
		return
	}
	c := &talk{s: s, open: &t.open, from: from, a: a, seq: m.Seq}
	var answer wire.Body
	var err error
	switch body := m.Body.(type) {
	case *wire.Ask:
		if answer, err = c.ours(body.Account); answer == nil {
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
		if !s.relays.take(from.Name, m.Re, body) {
			s.counts.unexpected.Add(1) // late: the app has its answer
		}
		return
	default:
		s.counts.unexpected.Add(1)
		return
	}
	if err != nil {
		s.o.Log.Error("message not processed", "type", m.Type, "member", from.Name, "err", err)
		answer = &wire.Refusal{Code: wire.CodeBusy, Detail: "try again"}
	}
	t.answer(b, m, answer)
}

// grants answers Ask: each grant that the member has missed, and then the receipt.
func (t *talks) grants(b *box, c *talk, m *wire.Message, ask *wire.Ask) {
	gs, err := t.s.grantsAfter(c.from.Name, ask.Epoch)
	if err != nil {
		t.s.o.Log.Error("grants not read", "member", c.from.Name, "err", err)
		t.answer(b, m, &wire.Refusal{Code: wire.CodeBusy})
		return
	}
	for _, g := range gs {
		t.answer(b, m, g)
	}
	t.answer(b, m, c.receipt(nil))
}

func (t *talks) answer(b *box, m *wire.Message, body wire.Body) {
	if r, ok := body.(*wire.Refusal); ok {
		t.s.counts.refused.Add(1)
		t.s.o.Log.Debug("message refused", "type", m.Type, "member", b.member, "code", r.Code)
	}
	if err := t.s.say(b.member, m.ID, body); err != nil && !errors.Is(err, home.ErrUnavailable) {
		t.s.o.Log.Error("answer not sent", "type", body.Type(), "member", b.member, "err", err)
	}
}

// dropped counts and logs a message that is not acted on.
func (s *Service) dropped(n *atomic.Uint64, member string, err error) {
	// One line for a burst: whoever can publish must not be able to fill the log.
	if c := n.Add(1); c&(c-1) == 0 {
		s.o.Log.Warn("message dropped", "member", member, "err", err, "so_far", c)
	}
}

func (s *Service) seqOf(member string) (seq uint64) {
	_ = s.st.View(func(tx *bbolt.Tx) error {
		if v := tx.Bucket(bktSeqs).Get([]byte(member)); len(v) == 8 {
			seq = binary.BigEndian.Uint64(v)
		}
		return nil
	})
	return seq
}

// challenge is one sign-in under way. It lives in memory only, for 30 seconds, and is used once.
type challenge struct {
	member string
	epoch  uint64
	want   []byte // the member's proof
	until  time.Time
}

const challengeLife = 30 * time.Second

// challenges holds one challenge a device, and no more.
type challenges struct {
	mu sync.Mutex // guards by
	by map[string]challenge
}

func (c *challenges) set(ids []string, chs []challenge) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, id := range ids {
		c.by[id] = chs[i]
	}
}

// take takes the challenges of devices out: whatever comes of them, they were used.
func (c *challenges) take(ids []wire.Proven) []challenge {
	chs := make([]challenge, len(ids))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, p := range ids {
		chs[i] = c.by[p.ID]
		delete(c.by, p.ID)
	}
	return chs
}

// sweep forgets challenges that nobody answered.
func (c *challenges) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, ch := range c.by {
		if now.After(ch.until) {
			delete(c.by, id)
		}
	}
}
