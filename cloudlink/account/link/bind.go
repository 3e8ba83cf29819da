package link

import (
	"bytes"
	"strings"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// talk is one message of a member about its account. Each method answers one type; the change that it reports is on disk before.
type talk struct {
	l    *Link
	open *challenges
	from account.Member
	a    account.Account
	said account.Said
}

// ours refuses a message about another account: a member acts for its own.
func (c *talk) ours(id string) wire.Body {
	if id != c.a.ID {
		return &wire.Refusal{Code: wire.CodeForeign, Detail: "another account"}
	}
	return nil
}

// newest refuses a message about another account, or about an epoch that is not the newest.
func (c *talk) newest(id string, epoch uint64) wire.Body {
	if r := c.ours(id); r != nil {
		return r
	}
	if epoch != c.a.Epoch {
		return &wire.Refusal{Code: wire.CodeOldEpoch}
	}
	return nil
}

// receipt is the answer to a change, with the account's newest notice: the account may have changed meanwhile.
func (c *talk) receipt(refused []wire.Outcome) (wire.Body, error) {
	a, err := c.l.st.Account(c.a.ID)
	if err != nil {
		return nil, err
	}
	return &wire.Receipt{Account: a.ID, Epoch: a.Epoch, Notice: a.Notice, Refused: refused}, nil
}

// ack records that a grant is on the member's disk.
func (c *talk) ack(b *wire.Ack) (wire.Body, error) {
	if r := c.ours(b.Account); r != nil {
		return r, nil
	}
	if b.Epoch > c.a.Epoch {
		return &wire.Refusal{Code: wire.CodeUnknown, Detail: "no such epoch"}, nil
	}
	if err := c.l.st.Acknowledge(c.said, account.Acknowledgement{Account: c.a.ID, Epoch: b.Epoch}); err != nil {
		return nil, err
	}
	return c.receipt(nil)
}

// bind takes devices into the account. A device has one holder: another hub of the account that binds it takes it over.
func (c *talk) bind(b *wire.Bind) (wire.Body, error) {
	if r := c.ours(b.Account); r != nil {
		return r, nil
	}
	secrets, err := c.l.id.Open(wire.SecretInfo(c.a.ID, c.from.Name), b.Secrets)
	if err != nil || len(secrets) != 32*len(b.Devices) || !c.from.IsHub() {
		c.l.counts.forged.Add(1)
		return &wire.Refusal{Code: wire.CodeForged, Detail: "the binding secrets cannot be opened"}, nil
	}
	var ds []account.Device
	var forged []wire.Outcome
	for i, d := range b.Devices {
		dev := account.Device{Device: d}
		secret := secrets[32*i : 32*i+32]
		native := strings.HasPrefix(d.ID, string(wire.RoleDevice)+"-")
		if dev.Native() != native || !native && bytes.Equal(secret, make([]byte, 32)) {
			forged = append(forged, wire.Outcome{ID: d.ID, Code: wire.CodeForged})
			continue
		}
		if !native {
			dev.Secret = home.SecretBytes(secret)
		}
		ds = append(ds, dev)
	}
	refused, err := c.l.st.Bind(c.said, ds, c.l.s.Policy().MaxDevices)
	if err != nil {
		return nil, err
	}
	c.l.s.Changes.Add(c.a.ID)
	return c.receipt(append(forged, refused...))
}

// unbind takes devices out of the account. Any hub of the account may.
func (c *talk) unbind(b *wire.Unbind) (wire.Body, error) {
	if r := c.ours(b.Account); r != nil {
		return r, nil
	}
	if !c.from.IsHub() {
		return &wire.Refusal{Code: wire.CodeForeign, Detail: "a hub does this"}, nil
	}
	refused, err := c.l.st.Unbind(c.said, c.a.ID, b.Devices)
	if err != nil {
		return nil, err
	}
	c.l.s.Changes.Add(c.a.ID)
	return c.receipt(refused)
}
