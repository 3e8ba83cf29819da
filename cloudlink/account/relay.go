package account

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

const (
	relayLife   = 10 * time.Second // how long a device may take, its hub and the broker included
	relayAgain  = 2 * time.Second  // after which it is sent once more
	relaysMost  = 512              // requests under way
	relaysOfOne = 32               // of one account
)

// relays are the requests to devices that wait for their answers. They live in memory: an app asks again.
type relays struct {
	mu      sync.Mutex // guards both
	waiting map[string]*relay
	of      map[string]int // account -> how many
}

// relay is one request under way.
type relay struct {
	account, device, to string
	answer              chan *wire.Relayed // buffered: told once
}

func (r *relays) open(id string, x *relay) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == nil {
		r.waiting, r.of = map[string]*relay{}, map[string]int{}
	}
	if len(r.waiting) >= relaysMost || r.of[x.account] >= relaysOfOne {
		return false
	}
	r.waiting[id] = x
	r.of[x.account]++
	return true
}

func (r *relays) close(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.waiting[id]
	delete(r.waiting, id)
	if r.of[x.account]--; r.of[x.account] == 0 {
		delete(r.of, x.account)
	}
}

// take hands an answer to whoever waits for it: it must come from whom was asked, and be about what was asked.
func (r *relays) take(from, re string, b *wire.Relayed) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.waiting[re]
	if x == nil || x.to != from || x.account != b.Account || x.device != b.Device {
		return false
	}
	select {
	case x.answer <- b:
	default: // it came twice
	}
	return true
}

// passthrough passes what an app says on to a device, and returns what the device answers. A device that refuses has answered.
func (c *call) passthrough(a *account, door string) (result, error) {
	var p struct{ DeviceID, RequestData string }
	if err := c.read(&p, "deviceId", "requestData"); err != nil {
		return nil, err
	}
	if len(p.RequestData) > wire.MaxRelay || !json.Valid([]byte(p.RequestData)) {
		return nil, refused(v1.InvalidInput, "requestData: want JSON in a string, at most 32 KiB")
	}
	said, err := c.s.pass(c.ctx, a, door, p.DeviceID, []byte(p.RequestData))
	if err != nil {
		return nil, err
	}
	return result{"responseData": string(said)}, nil
}

// pass relays a request to a device and waits for the answer.
func (s *Service) pass(ctx context.Context, a *account, door, id string, request []byte) ([]byte, error) {
	to, dev, ok := s.relayTo(a.ID, door, id)
	switch {
	case !ok:
		return nil, refused(v1.NotBound, "The device is not bound to this account")
	case !s.dir.online(to):
		return nil, refused(v1.DeviceOffline, "The device's hub is offline")
	}
	m := &wire.Message{ID: wire.NewID(), To: to.Name, At: s.now().UnixMilli(), Exp: s.now().Add(relayLife).UnixMilli()}
	sealed, err := to.Keys.SealTo(wire.RelayInfo(a.ID, s.id.Name, to.Name, dev, m.ID), request)
	if err != nil {
		return nil, err
	}
	m.Body = &wire.Relay{Account: a.ID, Device: dev, Sealed: sealed}
	x := &relay{account: a.ID, device: dev, to: to.Name, answer: make(chan *wire.Relayed, 1)}
	if !s.relays.open(m.ID, x) {
		return nil, refused(v1.Busy, "Too many requests at once")
	}
	defer s.relays.close(m.ID)
	raw, err := s.id.Sign(m)
	if err != nil {
		return nil, err
	}
	late := time.NewTimer(relayLife)
	defer late.Stop()
	for {
		if err := s.conn.Publish(mqtt.Message{Topic: wire.InboxTopic(to.Name), Payload: raw}); err != nil {
			return nil, refused(v1.DeviceOffline, "The device's hub cannot be reached now")
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-late.C:
			return nil, refused(v1.TimedOut, "The device did not answer in time")
		case b := <-x.answer:
			return s.relayed(a, to, m.ID, b)
		case <-time.After(relayAgain): // the hub may have been between two connections; it carries out each request once
		}
	}
}

// relayed is what an answer says.
func (s *Service) relayed(a *account, from *member, re string, b *wire.Relayed) ([]byte, error) {
	switch b.Code {
	case "":
	case wire.CodeUnknown, wire.CodeForeign:
		return nil, refused(v1.NotBound, "The device's hub does not hold it")
	case wire.CodeNotSpoken:
		return nil, refused(v1.InvalidInput, "The device takes no requests in this way")
	case wire.CodeBusy:
		return nil, refused(v1.Busy, "The device is busy, try again")
	default:
		return nil, refused(v1.DeviceOffline, "The device is offline")
	}
	plain, err := s.id.Open(wire.RelayInfo(a.ID, from.Name, s.id.Name, b.Device, re), b.Sealed)
	if err != nil || len(plain) > wire.MaxRelay {
		s.counts.forged.Add(1)
		return nil, refused(v1.DeviceOffline, "The device's hub gave no answer that holds")
	}
	return plain, nil
}

// relayTo returns whom a request to a device goes to: the hub that holds it, or a device that speaks the link itself. ok is false for
// what is not of the account, or not shown at the door.
func (s *Service) relayTo(account, door, id string) (to *member, device string, ok bool) {
	s.dir.mu.RLock()
	defer s.dir.mu.RUnlock()
	d := s.dir.devices[strings.ToLower(id)]
	if d == nil || d.Account != account || !shown(d.Model, door) {
		return nil, "", false
	}
	name := d.Holder
	if d.own() {
		name = d.ID
	}
	to, ok = s.dir.members[name]
	return to, d.ID, ok && to.Account == account
}

// sees tells whether a device is of the account, and shown at the door.
func (s *Service) sees(account, door, id string) bool {
	s.dir.mu.RLock()
	defer s.dir.mu.RUnlock()
	d := s.dir.devices[strings.ToLower(id)]
	return d != nil && d.Account == account && shown(d.Model, door)
}

// presence is what a member's status topic says, retained.
type presence struct {
	Online bool   `json:"online"`
	Boot   uint64 `json:"boot,string"`
}

// attend takes a hub's status. A late will may overtake a birth: the higher boot wins.
func (s *Service) attend(hub string, raw []byte) {
	var p presence
	if len(raw) > 0 && json.Unmarshal(raw, &p) != nil {
		s.counts.malformed.Add(1)
		return
	}
	s.dir.mu.Lock()
	defer s.dir.mu.Unlock()
	if _, ok := s.dir.members[hub]; !ok {
		delete(s.dir.present, hub)
		return
	}
	if p.Boot >= s.dir.present[hub].Boot {
		s.dir.present[hub] = p
	}
}

// online tells whether a hub is there, as far as is known. Of a device that speaks the link nothing says so: it is asked.
func (d *directory) online(m *member) bool {
	if !isHub(m.Name) {
		return true
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	p, known := d.present[m.Name]
	return !known || p.Online
}
