package link

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
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
	answer              chan *wire.Relayed // buffered: written once
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

// take hands an answer to the request that waits for it. It must come from the member that got the request, and name
// the same device.
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

// errOldKey is the answer of a hub that replaced its sealing key while a request was on its way. It did nothing.
var errOldKey = account.Refused(v1.Busy, "The device's hub has just changed its key, try again")

// Pass relays a request of an owner's app to a device of the account, and returns the device's answer. A device that
// refuses has answered. The errors are *v1.Error.
func (l *Link) Pass(ctx context.Context, accountID, id string, request []byte) ([]byte, error) {
	answer, err := l.pass(ctx, accountID, id, request)
	if errors.Is(err, errOldKey) {
		return l.pass(ctx, accountID, id, request)
	}
	return answer, err
}

// pass seals a request to the key that the hub has now, and sends it until an answer comes.
func (l *Link) pass(ctx context.Context, accountID, id string, request []byte) ([]byte, error) {
	to, err := l.relayTo(accountID, id)
	switch {
	case errors.Is(err, home.ErrNotFound):
		return nil, account.Refused(v1.NotBound, "The device is not bound to this account")
	case err != nil:
		return nil, err
	case to.Boot == 0: // without a hello its clock is not known
		return nil, account.Refused(v1.DeviceOffline, "The device's hub is offline")
	}
	now := l.s.Now()
	m := &wire.Message{ID: wire.NewID(), To: to.Name, At: now.UnixMilli()}
	sealed, err := wire.Keys{Seal: to.SealKey()}.SealTo(wire.RelayInfo(accountID, l.id.Name, to.Name, id, m.ID), request)
	if err != nil {
		return nil, err
	}
	until := now.Add(to.Clock + relayLife).UnixMilli() // by the member's own clock
	m.Body = &wire.Relay{Account: accountID, Device: id, Boot: to.Boot, Until: until, Sealed: sealed}
	x := &relay{account: accountID, device: id, to: to.Name, answer: make(chan *wire.Relayed, 1)}
	if !l.relays.open(m.ID, x) {
		return nil, account.Refused(v1.Busy, "Too many requests at once")
	}
	defer l.relays.close(m.ID)
	raw, err := l.id.Sign(m)
	if err != nil {
		return nil, err
	}
	// A status is unsigned: it shortens the wait, and decides nothing.
	life, unanswered := relayLife, account.Refused(v1.TimedOut, "The device did not answer in time")
	if !l.s.Reports.Online(to.Name) {
		life, unanswered = 2*relayAgain, account.Refused(v1.DeviceOffline, "The device's hub is offline")
	}
	late := time.NewTimer(life)
	defer late.Stop()
	for {
		if err := l.conn.Publish(mqtt.Message{Topic: wire.InboxTopic(to.Name), Payload: raw}); err != nil {
			return nil, account.Refused(v1.DeviceOffline, "The device's hub cannot be reached now")
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-late.C:
			return nil, unanswered
		case b := <-x.answer:
			return l.relayed(accountID, to, m.ID, b)
		case <-time.After(relayAgain): // the hub may have been between two connections; it carries out each request once
		}
	}
}

// relayed opens the answer of a hub.
func (l *Link) relayed(accountID string, from account.Member, re string, b *wire.Relayed) ([]byte, error) {
	switch b.Code {
	case "":
	case wire.CodeUnknown, wire.CodeForeign:
		return nil, account.Refused(v1.NotBound, "The device's hub does not hold it")
	case wire.CodeNotSpoken:
		return nil, account.Refused(v1.InvalidInput, "The device takes no requests in this way")
	case wire.CodeBusy, wire.CodeRestarted:
		return nil, account.Refused(v1.Busy, "The device is busy, try again")
	case wire.CodeOldKey:
		return nil, errOldKey
	case wire.CodeExpired:
		return nil, account.Refused(v1.TimedOut, "The request reached the device's hub too late")
	default:
		return nil, account.Refused(v1.DeviceOffline, "The device is offline")
	}
	plain, err := l.id.Open(wire.RelayInfo(accountID, from.Name, l.id.Name, b.Device, re), b.Sealed)
	if err != nil || len(plain) > wire.MaxRelay {
		l.dropped("forged", from.Name, err)
		return nil, account.Refused(v1.DeviceOffline, "The device's hub gave no answer that holds")
	}
	return plain, nil
}

// relayTo returns the member that a request to a device goes to: the hub that holds it, or a native device itself.
func (l *Link) relayTo(accountID, id string) (account.Member, error) {
	d, err := l.st.Device(accountID, id)
	if err != nil {
		return account.Member{}, err
	}
	name := d.Holder
	if d.Native() {
		name = d.ID
	}
	to, err := l.st.Member(name)
	if err == nil && to.Account != accountID {
		err = home.ErrNotFound
	}
	return to, err
}

// relayed hands an answer of a hub to the request that waits for it.
func (r *request) relayed(b *wire.Relayed) ([]wire.Body, error) {
	if !r.l.relays.take(r.from.Name, r.m.Re, b) {
		r.l.dropped("unexpected", r.from.Name, nil) // late: the app has its answer
	}
	return nil, nil
}
