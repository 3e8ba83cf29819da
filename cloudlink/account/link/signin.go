package link

import (
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// holds says why a member may not sign a device in; empty when it may: a hub for what it holds, a device for itself.
func (c *talk) holds(d account.Device) string {
	switch {
	case d.ID == "":
		return wire.CodeUnknown
	case d.Holder != c.from.Name && d.ID != c.from.Name:
		return wire.CodeForeign
	}
	return ""
}

// begin challenges, and proves first that the service knows both secrets. Epoch, secret and devices are read at one instant.
func (c *talk) begin(b *wire.Begin) (wire.Body, error) {
	ids := make([]string, len(b.Devices))
	for i, n := range b.Devices {
		ids[i] = n.ID
	}
	v, err := c.l.st.View(c.from.Name, ids)
	if err != nil {
		return nil, err
	}
	c.a = v.Account
	if r := c.newest(b.Account, b.Epoch); r != nil {
		return r, nil
	}
	answer := &wire.Challenge{Account: b.Account, Epoch: b.Epoch, Devices: make([]wire.Challenged, 0, len(b.Devices))}
	refuse := func(id, code string) { answer.Refused = append(answer.Refused, wire.Outcome{ID: id, Code: code}) }
	until := c.l.s.Now().Add(challengeLife)
	for _, n := range b.Devices {
		d := v.Devices[n.ID]
		code := c.holds(d)
		switch {
		case code != "":
			refuse(n.ID, code)
		case d.Native() && d.ID != c.from.Name:
			answer.Devices = append(answer.Devices, wire.Challenged{ID: n.ID, Own: true, SignedIn: d.SignedIn == b.Epoch})
		case len(n.Nonce) != 32:
			refuse(n.ID, wire.CodeForged)
		case d.Secret.IsZero():
			refuse(n.ID, wire.CodeUnknown)
		default:
			sign := wire.SignIn{
				Account: c.a.ID, Member: c.from.Name, Device: n.ID, Epoch: b.Epoch, MemberNonce: n.Nonce, ServiceNonce: wire.NewNonce(),
				EpochSecret: c.a.Secret, BindingSecret: d.Secret,
			}
			service, member := sign.Proofs()
			c.open.set(c.key(n.ID), challenge{c.from.Name, b.Epoch, member, until})
			answer.Devices = append(answer.Devices, wire.Challenged{ID: n.ID, Nonce: sign.ServiceNonce, Proof: service})
		}
	}
	return answer, nil
}

// key names a device's challenge: devices are scoped by account.
func (c *talk) key(id string) string { return c.a.ID + "/" + id }

// proof checks the proofs of challenged devices. They are signed in once the member has confirmed that.
func (c *talk) proof(b *wire.Proof) (wire.Body, error) {
	if r := c.newest(b.Account, b.Epoch); r != nil {
		return r, nil
	}
	now := c.l.s.Now()
	answer := &wire.Session{Account: b.Account, Epoch: b.Epoch, Devices: make([]string, 0, len(b.Devices))}
	for _, p := range b.Devices {
		ch := c.open.take(c.key(p.ID))
		switch {
		case ch.member != c.from.Name || ch.epoch != b.Epoch || now.After(ch.until):
			answer.Refused = append(answer.Refused, wire.Outcome{ID: p.ID, Code: wire.CodeNoSession})
		case !wire.Equal(ch.want, p.Proof):
			c.l.counts.forged.Add(1)
			answer.Refused = append(answer.Refused, wire.Outcome{ID: p.ID, Code: wire.CodeForged})
		default:
			c.open.prove(c.key(p.ID), challenge{member: c.from.Name, epoch: b.Epoch, until: now.Add(provenLife)})
			answer.Devices = append(answer.Devices, p.ID)
		}
	}
	return answer, nil
}

// confirm ends the sign-in of devices whose proof was accepted at the epoch.
func (c *talk) confirm(b *wire.Confirm) (wire.Body, error) {
	if r := c.newest(b.Account, b.Epoch); r != nil {
		return r, nil
	}
	var ids []string
	var unproven []wire.Outcome
	for _, id := range b.Devices {
		if p := c.open.provenOf(c.key(id)); p.member == c.from.Name && p.epoch == b.Epoch {
			ids = append(ids, id)
		} else {
			unproven = append(unproven, wire.Outcome{ID: id, Code: wire.CodeNoSession})
		}
	}
	refused, err := c.l.st.SignIn(c.said, c.a.ID, b.Epoch, ids)
	if err != nil {
		return nil, err
	}
	c.l.s.Changes.Add(c.a.ID)
	return c.receipt(append(unproven, refused...))
}

// challenge is one sign-in under way. It lives in memory only, and is used once.
type challenge struct {
	member string
	epoch  uint64
	want   []byte // the member's proof
	until  time.Time
}

const (
	challengeLife = 30 * time.Second
	provenLife    = time.Hour // between a proof and its confirmation
)

// challenges holds one challenge and one accepted proof a device, and no more.
type challenges struct {
	mu     sync.Mutex // guards both
	by     map[string]challenge
	proven map[string]challenge
}

func (c *challenges) set(key string, ch challenge) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by[key] = ch
}

// take takes the challenge of a device out: whatever its proof, it was used.
func (c *challenges) take(key string) challenge {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := c.by[key]
	delete(c.by, key)
	return ch
}

func (c *challenges) prove(key string, ch challenge) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proven[key] = ch
}

func (c *challenges) provenOf(key string) challenge {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.proven[key]
}

// sweep forgets challenges that were never answered.
func (c *challenges) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range []map[string]challenge{c.by, c.proven} {
		for key, ch := range m {
			if now.After(ch.until) {
				delete(m, key)
			}
		}
	}
}
