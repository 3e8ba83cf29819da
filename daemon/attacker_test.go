package daemon_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

// host is what answers at one address: a device of the house, or an attacker that plays one.
type host struct {
	protocol home.Protocol
	old      bool         // a camera of old firmware: it receives a hash and proves nothing
	knows    []home.Epoch // the passwords of the account that it knows and can prove
	fresh    home.State   // Default or Blank where it plays a factory-fresh device
	greedy   bool         // it accepts every password that it receives
	swapped  bool         // another host takes its place between the probe and the move, and proves nothing
}

// receipt is one secret that arrived at a host.
type receipt struct {
	device   home.DeviceID // as which the host was announced
	at       netip.Addr
	protocol home.Protocol
	rank     home.ProofRank
	epoch    home.Epoch
	own      bool         // the device's own password, and none of the account
	proved   []home.Epoch // what the host had proved in this conversation
	fresh    bool         // it had shown that it is factory-fresh
	began    []owner      // the orders of the owner when the job began: while one was carried out, without it too
	now      owner        // and when the secret arrived
}

// attackers is a network of hosts, and the driver of its protocols. It does what the true drivers do: it obtains each
// secret from keyring.Recipient.Release, and hands it to the host.
type attackers struct {
	sightings chan []home.Sighting

	mu       sync.Mutex // guards the fields below
	hosts    map[netip.Addr]*host
	owner    owner
	before   *owner // while an order is carried out: without it
	began    map[home.DeviceID][]owner
	moved    map[home.DeviceID]time.Time // end of the last move
	receipts []receipt
}

func newAttackers() *attackers {
	return &attackers{
		sightings: make(chan []home.Sighting, 1), hosts: map[netip.Addr]*host{}, owner: newOwner(),
		began: map[home.DeviceID][]owner{}, moved: map[home.DeviceID]time.Time{},
	}
}

// put has a host answer at an address.
func (n *attackers) put(at netip.Addr, h host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[at] = &h
}

// arrived returns what the hosts have received.
func (n *attackers) arrived() []receipt {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.receipts)
}

func (n *attackers) Run(ctx context.Context, see func([]home.Sighting)) error {
	return (&lan{sightings: n.sightings}).Run(ctx, see)
}

// conversation is one call of the driver.
type conversation struct {
	*attackers
	device home.Device
	host   host
	rank   home.ProofRank
	proved []home.Epoch
	fresh  bool
}

// enter begins a conversation; ok is false where no host speaks the protocol at the address.
func (n *attackers) enter(d home.Device, probe bool) (c conversation, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if probe && time.Since(n.moved[d.ID]) > 10*time.Millisecond { // else the job goes on: it verifies a move
		n.began[d.ID] = []owner{n.owner.clone()}
		if n.before != nil {
			n.began[d.ID] = append(n.began[d.ID], n.before.clone())
		}
	}
	h := n.hosts[d.Addr.Addr()]
	if h == nil || h.protocol != d.Protocol {
		return c, false
	}
	c = conversation{attackers: n, device: d, host: *h, rank: d.Protocol.Info().Rank}
	if h.old {
		c.rank = home.HashFirst
	}
	return c, true
}

// send hands a secret to the host, where the rule permits it, and returns whether it did.
func (c *conversation) send(k home.Credential, t home.Terms, e home.Evidence) error {
	if _, err := (keyring.Recipient{Device: c.device, Terms: t, Evidence: e}).Release(k.Password); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.receipts = append(c.receipts, receipt{
		device: c.device.ID, at: c.device.Addr.Addr(), protocol: c.device.Protocol, rank: c.rank, epoch: k.Epoch,
		own:    k.Username == ownUser,
		proved: c.proved, fresh: c.fresh, began: c.began[c.device.ID], now: c.owner.clone(),
	})
	return nil
}

// ownUser is the user name with which a device's own password is sent.
const ownUser = "admin"

// open returns the verdict of the host. One that proves nothing first receives the candidates one by one.
func (c *conversation) open(cs home.Candidates) home.Verdict {
	if c.host.protocol.Info().OwnLogin {
		own := home.Credential{Username: ownUser, Password: cs.DevicePassword}
		if own.Password.IsZero() || c.send(own, cs.Terms, home.Evidence{Rank: c.rank}) != nil {
			return home.Verdict{State: home.Unasked}
		}
	}
	if c.rank == home.ProvesFirst || c.host.protocol == home.IOT || c.host.protocol == home.NC {
		switch {
		case c.host.fresh != "":
			c.fresh = true
			return home.Verdict{State: c.host.fresh}
		case len(c.host.knows) > 0:
			if c.rank == home.ProvesFirst {
				c.proved = c.host.knows
			}
			e := slices.Max(c.host.knows)
			return home.Verdict{State: home.Stale, Epoch: e}.Against(cs.Account.Epoch)
		}
		return home.Verdict{State: home.Mismatch}
	}
	for _, k := range cs.Credentials {
		if c.send(k, cs.Terms, home.Evidence{Rank: c.rank}) != nil {
			return home.Verdict{State: home.Unsupported}
		}
		if c.host.greedy || slices.Contains(c.host.knows, k.Epoch) {
			return home.Verdict{State: home.Stale, Epoch: k.Epoch}.Against(cs.Account.Epoch)
		}
	}
	return home.Verdict{State: home.Mismatch}
}

func (n *attackers) Probe(_ context.Context, d home.Device, cs home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: d}
	c, ok := n.enter(d, true)
	time.Sleep(time.Millisecond)
	if !ok {
		f.Verdict.State = home.Unreachable
		return f, nil
	}
	f.Rank, f.Verdict = c.rank, c.open(cs)
	switch f.Verdict.State {
	case home.Current, home.Stale:
		f.Match = home.Ours
	case home.Default, home.Blank:
		f.Match = home.Unbound
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.owner.found(d.ID, f)
	return f, nil
}

func (n *attackers) Rekey(_ context.Context, d home.Device, m home.Move) error {
	c, ok := n.enter(d, false)
	time.Sleep(time.Millisecond)
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.moved[d.ID] = time.Now()
	}()
	if !ok {
		return home.ErrUnreachable
	}
	if c.host.swapped {
		c.host.knows, c.host.fresh = nil, ""
	}
	v := c.open(home.Candidates{Account: m.Account, Credentials: m.Known, Terms: m.Terms, DevicePassword: m.DevicePassword})
	e := home.Evidence{Rank: c.rank, Held: v.State, Epoch: v.Epoch}
	if err := c.send(m.To, m.Terms, e); err != nil {
		return fmt.Errorf("%w: %w", home.ErrNotOpened, err)
	}
	c.holds(m.To.Epoch)
	return nil
}

// holds has the host hold the newest password: a device would prove it from now on.
func (c *conversation) holds(e home.Epoch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.hosts[c.device.Addr.Addr()]; h != nil && !h.swapped {
		h.knows, h.fresh = append(slices.Clone(h.knows), e), ""
	}
}
