package account

import (
	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// holds says why a member may not sign a device in; empty when it may: a hub for what it holds, a device for itself.
func (c *talk) holds(d *bound) string {
	switch {
	case d == nil:
		return wire.CodeUnknown
	case d.Account != c.a.ID, d.Holder != c.from.Name && d.ID != c.from.Name:
		return wire.CodeForeign
	}
	return ""
}

// begin challenges, and proves first that this side knows both secrets.
func (c *talk) begin(b *wire.Begin) (wire.Body, error) {
	if r := c.newest(b.Account, b.Epoch); r != nil {
		return r, nil
	}
	answer := &wire.Challenge{Account: b.Account, Epoch: b.Epoch, Devices: make([]wire.Challenged, 0, len(b.Devices))}
	refuse := func(id, code string) { answer.Refused = append(answer.Refused, wire.Outcome{ID: id, Code: code}) }
	until := c.s.now().Add(challengeLife)
	var ids []string
	var signs []wire.SignIn
	c.s.dir.mu.RLock()
	secret := c.s.dir.house[c.a.ID].secret
	for _, n := range b.Devices {
		d := c.s.dir.devices[n.ID]
		code := c.holds(d)
		switch {
		case code != "":
			refuse(n.ID, code)
		case d.own() && d.ID != c.from.Name:
			answer.Devices = append(answer.Devices, wire.Challenged{ID: n.ID, Own: true, SignedIn: d.confirmed == b.Epoch})
		case len(n.Nonce) != 32:
			refuse(n.ID, wire.CodeForged)
		case d.secret.IsZero():
			refuse(n.ID, wire.CodeUnknown)
		default:
			ids = append(ids, n.ID)
			signs = append(signs, wire.SignIn{
				Account: c.a.ID, Member: c.from.Name, Device: n.ID, Epoch: b.Epoch, MemberNonce: n.Nonce, ServiceNonce: wire.NewNonce(),
				EpochSecret: secret, BindingSecret: d.secret,
			})
		}
	}
	c.s.dir.mu.RUnlock()
	chs := make([]challenge, len(ids))
	for i, sign := range signs {
		service, member := sign.Proofs()
		chs[i] = challenge{c.from.Name, b.Epoch, member, until}
		answer.Devices = append(answer.Devices, wire.Challenged{ID: sign.Device, Nonce: sign.ServiceNonce, Proof: service})
	}
	c.open.set(ids, chs)
	return answer, nil
}

// proof checks what was challenged, and opens the sessions.
func (c *talk) proof(b *wire.Proof) (wire.Body, error) {
	if r := c.newest(b.Account, b.Epoch); r != nil {
		return r, nil
	}
	now := c.s.now()
	answer := &wire.Session{Account: b.Account, Epoch: b.Epoch, Devices: make([]string, 0, len(b.Devices))}
	for i, ch := range c.open.take(b.Devices) {
		id := b.Devices[i].ID
		switch {
		case ch.member != c.from.Name || ch.epoch != b.Epoch || now.After(ch.until):
			answer.Refused = append(answer.Refused, wire.Outcome{ID: id, Code: wire.CodeNoSession})
		case !wire.Equal(ch.want, b.Devices[i].Proof):
			c.s.counts.forged.Add(1)
			answer.Refused = append(answer.Refused, wire.Outcome{ID: id, Code: wire.CodeForged})
		default:
			answer.Devices = append(answer.Devices, id)
		}
	}
	taken, refused, err := c.signIn(b.Epoch, answer.Devices, false)
	answer.Devices, answer.Refused = taken, append(answer.Refused, refused...)
	return answer, err
}

// confirm ends the sign-in of devices that have a session at the epoch.
func (c *talk) confirm(b *wire.Confirm) (wire.Body, error) {
	if r := c.newest(b.Account, b.Epoch); r != nil {
		return r, nil
	}
	_, refused, err := c.signIn(b.Epoch, b.Devices, true)
	if err != nil {
		return nil, err
	}
	return c.receipt(refused), nil
}

// signIn writes sessions, or confirmations, for all of a message in one transaction.
func (c *talk) signIn(epoch uint64, ids []string, confirm bool) (taken []string, refused []wire.Outcome, err error) {
	ds := make([]*bound, 0, len(ids))
	c.s.dir.mu.RLock()
	for _, id := range ids {
		d := c.s.dir.devices[id]
		code := c.holds(d)
		if code == "" && confirm && d.session != epoch {
			code = wire.CodeNoSession
		}
		if code != "" {
			refused = append(refused, wire.Outcome{ID: id, Code: code})
			continue
		}
		ds, taken = append(ds, d), append(taken, id)
	}
	confirmed := make([]uint64, len(ds))
	for i, d := range ds {
		if confirmed[i] = d.confirmed; confirm {
			confirmed[i] = epoch
		}
	}
	c.s.dir.mu.RUnlock()
	if len(ds) == 0 {
		return nil, refused, nil
	}
	err = c.update(func(tx *bbolt.Tx) error {
		for i, d := range ds {
			if tx.Bucket(bktDevices).Get([]byte(d.ID)) == nil {
				continue // unbound in this moment
			}
			if err := putSignIn(tx, d.ID, epoch, confirmed[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	c.s.dir.mu.Lock()
	for i, d := range ds {
		d.session, d.confirmed = epoch, confirmed[i]
	}
	c.s.dir.mu.Unlock()
	c.s.watch.tell(c.a.ID)
	return taken, refused, nil
}
