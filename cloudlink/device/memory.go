package device

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/atomicfile"
)

// Keeper keeps the device's state, which holds its keys: whoever can read it is the device. Save returns when it is
// durable.
type Keeper interface {
	// Load returns nil before anything was saved.
	Load() ([]byte, error)
	Save([]byte) error
}

// File keeps the state in a file of mode 0600 that is replaced as a whole.
type File string

// Load reads the file.
func (f File) Load() ([]byte, error) {
	raw, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return raw, err
}

// Save replaces the file.
func (f File) Save(raw []byte) error { return atomicfile.Write(string(f), raw, 0o600) }

// Volatile keeps the state in memory: for simulated devices, which are new at every start.
type Volatile struct {
	mu  sync.Mutex // guards raw
	raw []byte
}

// Load returns the saved state.
func (v *Volatile) Load() ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.raw, nil
}

// Save keeps raw.
func (v *Volatile) Save(raw []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.raw = slices.Clone(raw)
	return nil
}

// state is everything that the device remembers.
type state struct {
	SignSeed, SealSeed, BindingSecret []byte // SealSeed is the first sealing key

	Boot     uint64
	Sealing  []sealing     `json:",omitempty"` // sealing keys, newest first; SealSeed when empty
	Hub      string        `json:",omitempty"` // the hub that invited it
	Account  *home.Account `json:",omitempty"`
	Held     []held        `json:",omitempty"` // newest first, the last few
	SignedIn home.Epoch    `json:",omitempty"`
	Errands  []home.Errand `json:",omitempty"`
}

// held is an epoch secret, in the clear: the Keeper's file is as secret as the keys in it.
type held struct {
	Epoch  home.Epoch
	Secret []byte
}

// sealing is a sealing key: see home.SealingKey.
type sealing struct {
	Seed  []byte
	Made  time.Time
	Epoch home.Epoch
}

// keep is how many epochs the device remembers. It needs only the newest; the one before serves a hub that is behind.
const keep = 2

// memory is a cloudlink.Store for a house of one device: the device itself.
type memory struct {
	keeper Keeper
	self   home.DeviceID

	mu sync.Mutex // guards s; held while it is saved, so that saves keep their order
	s  state
}

// remember loads the state, or makes one with new keys. It returns home.ErrCorrupt for a state that it cannot read: new
// keys in its place would be another device.
func remember(k Keeper) (*memory, error) {
	m := &memory{keeper: k}
	raw, err := k.Load()
	if err != nil {
		return nil, fmt.Errorf("device: load state: %w", err)
	}
	if raw == nil {
		m.s = state{SignSeed: wire.NewSeed(), SealSeed: wire.NewSeed(), BindingSecret: wire.NewSeed()}
		return m, nil // saved with the boot counter
	}
	if err := json.Unmarshal(raw, &m.s); err != nil {
		return nil, fmt.Errorf("device: state: %w", home.ErrCorrupt)
	}
	return m, nil
}

// change applies f and saves; a change that could not be saved has not happened.
func (m *memory) change(f func(s *state) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := m.s
	next.Held, next.Errands, next.Sealing = slices.Clone(m.s.Held), slices.Clone(m.s.Errands), slices.Clone(m.s.Sealing)
	if m.s.Account != nil {
		a := *m.s.Account
		next.Account = &a
	}
	if err := f(&next); err != nil {
		return err
	}
	raw, err := json.Marshal(next)
	if err == nil {
		err = m.keeper.Save(raw)
	}
	if err != nil {
		return fmt.Errorf("device: save state: %w", err)
	}
	m.s = next
	return nil
}

func (m *memory) read() state {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.s // change replaces what is behind its pointers and slices, and never writes to it
}

func (m *memory) boot() (n uint64, err error) {
	err = m.change(func(s *state) error { s.Boot++; n = s.Boot; return nil })
	return n, err
}

func (m *memory) epochs() (h, signedIn home.Epoch) {
	s := m.read()
	if len(s.Held) > 0 {
		h = s.Held[0].Epoch
	}
	return h, s.SignedIn
}

// join joins the account of an invitation; changed reports whether that was new.
func (m *memory) join(hub string, j wire.Joined) (changed bool, err error) {
	same := func(a *home.Account) bool {
		return a != nil && a.ID == home.AccountID(j.Account) && slices.Equal(a.Brokers, wire.URLs(j.Brokers))
	}
	if s := m.read(); s.Hub == hub && same(s.Account) {
		return false, nil
	}
	return true, m.change(func(s *state) error {
		if s.Account != nil {
			if s.Account.ID != home.AccountID(j.Account) || s.Hub != hub {
				return home.ErrForeign
			}
			s.Account.Brokers = wire.URLs(j.Brokers)
			return nil
		}
		s.Hub = hub
		s.Account = &home.Account{
			ID: home.AccountID(j.Account), ServiceKey: j.Service.Sign, ServiceSeal: j.Service.Seal,
			Brokers: wire.URLs(j.Brokers),
			Notice:  j.Notice.Hash(), NoticeEpoch: home.Epoch(j.Notice.Epoch), NoticeJSON: j.Notice.JWS(),
		}
		return nil
	})
}

func (m *memory) leave() error {
	return m.change(func(s *state) error {
		s.Account, s.Hub, s.Held, s.SignedIn, s.Errands = nil, "", nil, 0, nil
		return nil
	})
}

// Account, and the methods below it, are cloudlink.Store.
func (m *memory) Account() (home.Account, error) {
	s := m.read()
	if s.Account == nil {
		return home.Account{}, home.ErrNoAccount
	}
	return *s.Account, nil
}

// Credentials returns the epoch secrets that the device holds, newest first. It holds no password: its sign-in needs
// none.
func (m *memory) Credentials(home.AccountID) ([]home.Credential, error) {
	var cs []home.Credential
	for _, h := range m.read().Held {
		cs = append(cs, home.Credential{Epoch: h.Epoch, EpochSecret: home.SecretBytes(h.Secret)})
	}
	return cs, nil
}

func (m *memory) BindingSecrets(ids []home.DeviceID) (map[home.DeviceID]home.Key, error) {
	secrets := map[home.DeviceID]home.Key{}
	if slices.Contains(ids, m.self) {
		secrets[m.self] = home.KeyBytes(m.read().BindingSecret)
	}
	return secrets, nil
}

// ProofRanks and Bound return nothing: a hub binds the device, it does not bind itself.
func (m *memory) ProofRanks([]home.DeviceID) (map[home.DeviceID]home.ProofRank, error) {
	return nil, nil
}

// Bound is described at ProofRanks.
func (m *memory) Bound([]home.DeviceID) ([]home.Device, error) { return nil, nil }

// Enrol is for hubs; a device joins through its endpoint.
func (m *memory) Enrol(home.Account, home.Credential) error { return home.ErrForeign }

// NoteNotice records the newest notice. It returns home.ErrOldEpoch for an older one, which may be a replay.
func (m *memory) NoteNotice(_ home.AccountID, e home.Epoch, hash, raw []byte) error {
	return m.change(func(s *state) error {
		if s.Account == nil || e < s.Account.NoticeEpoch {
			return home.ErrOldEpoch
		}
		s.Account.NoticeEpoch, s.Account.Notice, s.Account.NoticeJSON = e, hash, raw
		return nil
	})
}

// Expose records nothing: a native device moves no others.
func (m *memory) Expose(home.AccountID, home.Epoch) error { return nil }

// BeginEpoch keeps the secret of a new epoch and replaces all errands: those of older epochs are of no use any more.
func (m *memory) BeginEpoch(_ home.AccountID, c home.Credential, hash, raw []byte) (int, error) {
	return 1, m.change(func(s *state) error {
		if s.Account == nil || c.Epoch <= s.Account.Epoch {
			return home.ErrOldEpoch
		}
		s.Account.Epoch = c.Epoch
		if c.Epoch >= s.Account.NoticeEpoch {
			s.Account.NoticeEpoch, s.Account.Notice, s.Account.NoticeJSON = c.Epoch, hash, raw
		}
		s.Held = slices.Insert(s.Held, 0, held{c.Epoch, []byte(c.EpochSecret.Reveal())})
		s.Held = s.Held[:min(len(s.Held), keep)]
		now := time.Now().UTC().Round(0)
		s.Errands = []home.Errand{
			{Kind: home.ErrandAck, Epoch: c.Epoch, At: now},
			{Kind: home.ErrandSignIn, Device: m.self, Epoch: c.Epoch, At: now},
		}
		return nil
	})
}

// Record drops the event: a device has no history to show.
func (m *memory) Record(home.Event) error { return nil }

func (m *memory) Errands(n int) ([]home.Errand, error) {
	es := m.read().Errands
	return es[:min(n, len(es))], nil
}

func (m *memory) ErrandsAfter(e home.Errand, n int) ([]home.Errand, error) {
	es := m.read().Errands
	i := slices.IndexFunc(es, func(o home.Errand) bool { return o.Kind == e.Kind && o.Device == e.Device })
	es = es[i+1:]
	return es[:min(n, len(es))], nil
}

// Queue adds errands; one of the same kind for the same device replaces the one before.
func (m *memory) Queue(es []home.Errand) error {
	return m.change(func(s *state) error {
		for _, e := range es {
			if e.Kind == home.ErrandBind {
				continue // only a hub binds
			}
			s.Errands = slices.DeleteFunc(s.Errands, func(o home.Errand) bool {
				return o.Kind == e.Kind && o.Device == e.Device
			})
			s.Errands = append(s.Errands, e)
		}
		return nil
	})
}

// Answered removes exactly these errands: one that was queued again meanwhile stays.
func (m *memory) Answered(es []home.Errand) error {
	return m.change(func(s *state) error {
		s.Errands = slices.DeleteFunc(s.Errands, func(o home.Errand) bool { return slices.Contains(es, o) })
		return nil
	})
}

// SignedIn records that the service has the device at the epoch. A late answer for an older epoch lowers nothing.
func (m *memory) SignedIn(_ home.AccountID, e home.Epoch, ids []home.DeviceID) error {
	return m.change(func(s *state) error {
		if slices.Contains(ids, m.self) {
			s.SignedIn = max(s.SignedIn, e)
			s.Errands = slices.DeleteFunc(s.Errands, func(o home.Errand) bool {
				return o.Kind == home.ErrandSignIn && o.Epoch <= e
			})
		}
		return nil
	})
}

// sealingKeys returns the device's sealing keys, newest first.
func (s *state) sealingKeys() []sealing {
	if len(s.Sealing) == 0 {
		return []sealing{{Seed: s.SealSeed}}
	}
	return s.Sealing
}

func (m *memory) SealingKeys() ([]home.SealingKey, error) {
	s := m.read()
	var keys []home.SealingKey
	for _, k := range s.sealingKeys() {
		keys = append(keys, home.SealingKey{Seed: home.SecretBytes(k.Seed), Made: k.Made, Epoch: k.Epoch})
	}
	return keys, nil
}

// AddSealingKey makes k the newest sealing key. The one before stays until the service has acknowledged k, because a
// grant to it can be on its way.
func (m *memory) AddSealingKey(k home.SealingKey) error {
	return m.change(func(s *state) error {
		s.Sealing = slices.Insert(slices.Clone(s.sealingKeys()), 0, sealing{[]byte(k.Seed.Reveal()), k.Made, k.Epoch})
		s.Sealing = s.Sealing[:min(len(s.Sealing), 2)]
		return nil
	})
}

// KeepSealingKey deletes all sealing keys but the one made of seed. It returns home.ErrNotFound for one that is not
// there, and deletes nothing then.
func (m *memory) KeepSealingKey(seed home.Secret) error {
	return m.change(func(s *state) error {
		i := slices.IndexFunc(s.sealingKeys(), func(k sealing) bool { return home.SecretBytes(k.Seed).Equal(seed) })
		if i < 0 {
			return home.ErrNotFound
		}
		s.Sealing = slices.Clone(s.sealingKeys()[i : i+1])
		return nil
	})
}
