package app

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// gate is called before and after each write of a hub. Before a write, an error stands for a write that failed.
type gate func(write string) error

// pass runs a write between two calls of the gate.
func (g gate) pass(write string, do func() error) error {
	if err := g(write); err != nil {
		return fmt.Errorf("%s: %w", write, err)
	}
	err := do()
	_ = g(write + " done")
	return err
}

// gatedLedger is the ledger of an engine, with its writes behind a gate.
type gatedLedger struct {
	daemon.Ledger
	gate gate
}

func (l gatedLedger) Bind(id home.AccountID, ds []home.Device) error {
	return l.gate.pass("bind", func() error { return l.Ledger.Bind(id, ds) })
}

func (l gatedLedger) Unbind(ids []home.DeviceID) error {
	return l.gate.pass("unbind", func() error { return l.Ledger.Unbind(ids) })
}

func (l gatedLedger) SaveDevices(ds []home.Device) error {
	return l.gate.pass("save devices", func() error { return l.Ledger.SaveDevices(ds) })
}

func (l gatedLedger) Observe(
	id home.DeviceID, v home.Verdict, rank home.ProofRank, at time.Time,
) (b home.Binding, err error) {
	err = l.gate.pass("observe", func() error { b, err = l.Ledger.Observe(id, v, rank, at); return err })
	return b, err
}

func (l gatedLedger) Intend(id home.DeviceID, from, to home.Epoch, at time.Time) (i home.Intent, err error) {
	err = l.gate.pass("intend", func() error { i, err = l.Ledger.Intend(id, from, to, at); return err })
	return i, err
}

func (l gatedLedger) Postpone(id home.DeviceID, next time.Time) error {
	return l.gate.pass("postpone", func() error { return l.Ledger.Postpone(id, next) })
}

func (l gatedLedger) Retry(ids []home.DeviceID, named bool) error {
	return l.gate.pass("retry", func() error { return l.Ledger.Retry(ids, named) })
}

func (l gatedLedger) Consent(cs map[home.DeviceID]home.Consents) error {
	return l.gate.pass("consent", func() error { return l.Ledger.Consent(cs) })
}

// gatedStore is the store of a link, with its writes behind a gate.
type gatedStore struct {
	cloudlink.Store
	gate gate
}

func (s gatedStore) Enrol(a home.Account, c home.Credential) error {
	return s.gate.pass("enrol", func() error { return s.Store.Enrol(a, c) })
}

func (s gatedStore) NoteNotice(id home.AccountID, e home.Epoch, hash, raw []byte) error {
	return s.gate.pass("note notice", func() error { return s.Store.NoteNotice(id, e, hash, raw) })
}

func (s gatedStore) Expose(id home.AccountID, e home.Epoch) error {
	return s.gate.pass("expose", func() error { return s.Store.Expose(id, e) })
}

func (s gatedStore) BeginEpoch(id home.AccountID, c home.Credential, hash, raw []byte) (stale int, err error) {
	err = s.gate.pass("begin epoch", func() error { stale, err = s.Store.BeginEpoch(id, c, hash, raw); return err })
	return stale, err
}

func (s gatedStore) Queue(es []home.Errand) error {
	return s.gate.pass("queue", func() error { return s.Store.Queue(es) })
}

func (s gatedStore) Answered(es []home.Errand) error {
	return s.gate.pass("answered", func() error { return s.Store.Answered(es) })
}

func (s gatedStore) SignedIn(id home.AccountID, e home.Epoch, ids []home.DeviceID) error {
	return s.gate.pass("signed in", func() error { return s.Store.SignedIn(id, e, ids) })
}

func (s gatedStore) AddSealingKey(k home.SealingKey) error {
	return s.gate.pass("add sealing key", func() error { return s.Store.AddSealingKey(k) })
}

func (s gatedStore) KeepSealingKey(seed home.Secret) error {
	return s.gate.pass("keep sealing key", func() error { return s.Store.KeepSealingKey(seed) })
}

// moves counts the moves that are under way, by device, across all hubs.
type moves struct {
	mu      sync.Mutex // guards the fields below
	running map[home.DeviceID]int
	total   int
	twice   []home.DeviceID // moved twice at a time
}

// watchedDriver is a driver whose moves are counted. Other abilities of the driver are kept: see watch.
type watchedDriver struct {
	daemon.Driver
	moves *moves
}

func (d watchedDriver) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	d.moves.mu.Lock()
	d.moves.total++
	if d.moves.running[dev.ID]++; d.moves.running[dev.ID] > 1 {
		d.moves.twice = append(d.moves.twice, dev.ID)
	}
	d.moves.mu.Unlock()
	defer func() {
		d.moves.mu.Lock()
		defer d.moves.mu.Unlock()
		d.moves.running[dev.ID]--
	}()
	return d.Driver.Rekey(ctx, dev, m)
}

// watch returns d with its moves counted. Restarter and Nudger are the abilities that drivers have in such a house.
func watch(d daemon.Driver, m *moves) daemon.Driver {
	w := watchedDriver{d, m}
	switch able := d.(type) {
	case daemon.Restarter:
		return struct {
			watchedDriver
			daemon.Restarter
		}{w, able}
	case daemon.Nudger:
		return struct {
			watchedDriver
			daemon.Nudger
		}{w, able}
	}
	return w
}

// gatedAccounts is the store of an account service, with the writes of a reset behind a gate.
type gatedAccounts struct {
	account.Store
	gate gate
}

func (s gatedAccounts) BeginEpoch(c account.EpochChange) error {
	return s.gate.pass("service: begin epoch", func() error { return s.Store.BeginEpoch(c) })
}

func (s gatedAccounts) Acknowledge(p account.Position, a account.Acknowledgement) error {
	return s.gate.pass("service: acknowledge", func() error { return s.Store.Acknowledge(p, a) })
}

func (s gatedAccounts) SignIn(
	p account.Position, id string, epoch uint64, ds []account.Device,
) (refused []wire.Outcome, err error) {
	err = s.gate.pass("service: sign in", func() error { refused, err = s.Store.SignIn(p, id, epoch, ds); return err })
	return refused, err
}

// gatedConn is a connection whose writes go through a gate. Each has a number, or for MQTT the type of its packet.
type gatedConn struct {
	net.Conn
	name string
	mqtt bool
	gate gate
	sent *atomic.Int64
}

func (c gatedConn) Write(b []byte) (n int, err error) {
	kind := int(c.sent.Add(1))
	if c.mqtt && len(b) > 0 {
		kind = int(b[0] >> 4)
	}
	err = c.gate.pass(fmt.Sprintf("%s %d", c.name, kind), func() error { n, err = c.Conn.Write(b); return err })
	return n, err
}
