package account

import (
	"crypto/rand"
	"encoding/json"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// watchers are told that something has changed in an account's house; they look for themselves what.
type watchers struct {
	mu sync.Mutex // guards by
	by map[string]map[chan struct{}]bool
}

func (w *watchers) add(account string) (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by = map[string]map[chan struct{}]bool{}
	}
	if w.by[account] == nil {
		w.by[account] = map[chan struct{}]bool{}
	}
	w.by[account][c] = true
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if delete(w.by[account], c); len(w.by[account]) == 0 {
			delete(w.by, account)
		}
	}
}

func (w *watchers) tell(account string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.by[account] {
		poke(c)
	}
}

// Progress is how far the devices of an account have come since its password was changed.
type Progress struct {
	Epoch    uint64
	Hubs     int
	SignedIn int // of Devices
	Devices  []Device
}

func (s *Service) progress(account string) (Progress, bool) {
	a, ok := s.dir.account(account)
	if !ok {
		return Progress{}, false
	}
	p := Progress{Epoch: a.Epoch, Hubs: len(s.hubs(account)), Devices: s.dir.devicesOf(account)}
	for _, d := range p.Devices {
		if d.SignedIn {
			p.SignedIn++
		}
	}
	return p, true
}

// A ticket lets whoever has just reset a password see the devices come back, and nothing else: a reset signs nobody in.
type ticket struct {
	account string
	epoch   uint64
	until   time.Time
}

type tickets struct {
	mu sync.Mutex // guards by
	by map[string]ticket
}

const (
	ticketLife = time.Hour
	maxTickets = 10_000 // past it the oldest die first
)

func (t *tickets) issue(account string, epoch uint64, now time.Time) string {
	word := rand.Text()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = map[string]ticket{}
	}
	oldest := ""
	for k, v := range t.by {
		if now.After(v.until) {
			delete(t.by, k)
		} else if oldest == "" || v.until.Before(t.by[oldest].until) {
			oldest = k
		}
	}
	if len(t.by) >= maxTickets {
		delete(t.by, oldest)
	}
	t.by[string(hashed(word))] = ticket{account, epoch, now.Add(ticketLife)}
	return word
}

func (t *tickets) find(word string, now time.Time) (ticket, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.by[string(hashed(word))]
	return v, ok && !now.After(v.until)
}

// Watch returns what a ticket of Reset shows, and a channel on which changes are told until stop is called. ok is false for a ticket
// that is unknown, too old, or of a password that was changed again since.
func (s *Service) Watch(word string) (look func() (Progress, bool), changed <-chan struct{}, stop func(), ok bool) {
	t, ok := s.tickets.find(word, s.now())
	if !ok {
		return nil, nil, nil, false
	}
	look = func() (Progress, bool) {
		p, ok := s.progress(t.account)
		return p, ok && p.Epoch == t.epoch && !s.now().After(t.until)
	}
	if _, ok := look(); !ok {
		return nil, nil, nil, false
	}
	changed, stop = s.watch.add(t.account)
	return look, changed, stop, true
}

// told is what a device's hub says of it, on the device's state topic. It is shown, and nothing is decided by it: on a broker that is
// not ours anybody may have said it.
type told struct {
	Name    string     `json:"name"`
	Verdict home.State `json:"verdict"`
	Since   time.Time  `json:"since"`
}

// hear takes a device's state.
func (s *Service) hear(m mqtt.Message) {
	topic, ok := wire.ParseTopic(m.Topic)
	var t told
	if !ok || len(m.Payload) > 0 && json.Unmarshal(m.Payload, &t) != nil || (len(t.Verdict) > 32 || len(t.Name) > 128) {
		s.counts.malformed.Add(1)
		return
	}
	s.dir.mu.Lock()
	d := s.dir.devices[topic.Name]
	if d != nil && d.Account == topic.Account {
		d.told = t
	}
	s.dir.mu.Unlock()
	if d != nil {
		s.watch.tell(d.Account)
	}
}

// receive hands a message of the broker over to whom it is for.
func (s *Service) receive(m mqtt.Message) {
	switch topic, _ := wire.ParseTopic(m.Topic); topic.Leaf {
	case "state":
		s.hear(m)
		return
	case "status":
		s.attend(topic.Name, m.Payload)
		return
	}
	s.talks.receive(m)
}
