package account

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// directory is what the service answers from without a look at the disk. It follows the disk: what is changed here was
// committed before. What it returns is not written to by anybody.
type directory struct {
	mu       sync.RWMutex // guards all of it, and the fields of bound that say so
	accounts map[string]*account
	emails   map[string]string // normalised -> account
	members  map[string]*member
	devices  map[string]*bound
	house    map[string]*house   // by account
	present  map[string]presence // by hub: what its status topic says
}

// house is whose an account is.
type house struct {
	secret  home.Secret // of the newest epoch
	members map[string]bool
	devices map[string]bool
}

// bound is a device in memory.
type bound struct {
	device
	secret home.Secret // zero until a device that speaks the link has enrolled

	session, confirmed uint64 // epochs; guarded by directory.mu
	told               told   // what its hub says of it; guarded by directory.mu
}

func (b *bound) own() bool { return b.Protocol == string(home.Native) }

// load reads the file.
func (s *Service) load() error {
	d := &s.dir
	d.accounts, d.emails, d.members = map[string]*account{}, map[string]string{}, map[string]*member{}
	d.devices, d.house = map[string]*bound{}, map[string]*house{}
	d.present = map[string]presence{}
	var renewed []*account
	err := s.st.View(func(tx *bbolt.Tx) error {
		err := each(tx, bktAccounts, func(a *account) error {
			secret, err := s.st.key.Open(a.Secret, "epoch/"+a.ID)
			if err != nil {
				return err
			}
			if a.Notice.Epoch == 0 { // of an older format
				a.Notice.Notice = s.id.SignNotice(wire.Notice{Account: a.ID, Epoch: a.Epoch, At: a.At, Cause: "changed", Via: DoorWeb})
				renewed = append(renewed, a)
			}
			d.accounts[a.ID], d.emails[normal(a.Email)] = a, a.ID
			d.house[a.ID] = &house{secret: home.SecretBytes(secret), members: map[string]bool{}, devices: map[string]bool{}}
			return nil
		})
		if err != nil {
			return err
		}
		err = each(tx, bktMembers, func(m *member) error {
			d.members[m.Name] = m
			if h := d.house[m.Account]; h != nil {
				h.members[m.Name] = true
			}
			return nil
		})
		if err != nil {
			return err
		}
		return each(tx, bktDevices, func(dev *device) error {
			b := &bound{device: *dev}
			if len(dev.Secret) > 0 {
				secret, err := s.st.key.Open(dev.Secret, "binding/"+dev.ID)
				if err != nil {
					return err
				}
				b.secret = home.SecretBytes(secret)
			}
			if v := tx.Bucket(bktSignIns).Get([]byte(dev.ID)); len(v) == 16 {
				b.session, b.confirmed = binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:])
			}
			d.devices[dev.ID] = b
			if h := d.house[dev.Account]; h != nil {
				h.devices[dev.ID] = true
			}
			return nil
		})
	})
	if err != nil || len(renewed) == 0 {
		return err
	}
	return s.st.Update(func(tx *bbolt.Tx) error {
		for _, a := range renewed {
			if err := put(tx, bktAccounts, []byte(a.ID), a); err != nil {
				return err
			}
		}
		return nil
	})
}

func each[T any](tx *bbolt.Tx, bucket []byte, do func(*T) error) error {
	return tx.Bucket(bucket).ForEach(func(_, raw []byte) error {
		v := new(T)
		if err := json.Unmarshal(raw, v); err != nil {
			return fmt.Errorf("%s: %w", bucket, home.ErrCorrupt)
		}
		return do(v)
	})
}

// AccountOf returns the account of a member, or of a device that was bound and is about to enrol. It is for the broker.
func (s *Service) AccountOf(name string) (string, bool) {
	s.dir.mu.RLock()
	defer s.dir.mu.RUnlock()
	if m, ok := s.dir.members[name]; ok {
		return m.Account, true
	}
	if d, ok := s.dir.devices[name]; ok && d.own() {
		return d.Account, true
	}
	return "", false
}

// Holds returns whether the hub holds a device of its account. It is for the broker.
func (s *Service) Holds(hub, id string) bool {
	s.dir.mu.RLock()
	defer s.dir.mu.RUnlock()
	d, ok := s.dir.devices[id]
	return ok && d.Holder == hub
}

func (d *directory) account(id string) (*account, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	a, ok := d.accounts[id]
	return a, ok
}

// byEmail returns the active or inactive account of an address, in any letter case.
func (d *directory) byEmail(email string) (*account, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	a, ok := d.accounts[d.emails[normal(email)]]
	return a, ok
}

func (d *directory) member(name string) (*member, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	m, ok := d.members[name]
	return m, ok
}

// membersOf returns an account's members, hubs before devices, each by name.
func (d *directory) membersOf(id string) []*member {
	d.mu.RLock()
	defer d.mu.RUnlock()
	h := d.house[id]
	if h == nil {
		return nil
	}
	var ms []*member
	for _, name := range slices.Sorted(maps.Keys(h.members)) { // "hub-" sorts before "rk-"
		ms = append(ms, d.members[name])
	}
	return ms
}

// setAccount puts a committed account in its place, with the secret of its epoch.
func (d *directory) setAccount(a *account, secret home.Secret) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.accounts[a.ID], d.emails[normal(a.Email)] = a, a.ID
	h := d.house[a.ID]
	if h == nil {
		h = &house{members: map[string]bool{}, devices: map[string]bool{}}
		d.house[a.ID] = h
	}
	if !secret.IsZero() {
		h.secret = secret
	}
}

func (d *directory) setMember(m *member) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old, ok := d.members[m.Name]; ok && old.Account != m.Account {
		delete(d.house[old.Account].members, m.Name)
	}
	d.members[m.Name] = m
	d.house[m.Account].members[m.Name] = true
}

// forget takes members and devices out.
func (d *directory) forget(members, devices []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range members {
		if m, ok := d.members[name]; ok {
			delete(d.house[m.Account].members, name)
			delete(d.members, name)
		}
	}
	for _, id := range devices {
		if b, ok := d.devices[id]; ok {
			delete(d.house[b.Account].devices, id)
			delete(d.devices, id)
		}
	}
}

func (d *directory) setDevices(bs []*bound) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range bs {
		if old, ok := d.devices[b.ID]; ok && old.Account != b.Account {
			delete(d.house[old.Account].devices, b.ID)
		} else if ok {
			b.told = old.told
		}
		d.devices[b.ID] = b
		d.house[b.Account].devices[b.ID] = true
	}
}

// heldBy returns the devices that a hub holds.
func (d *directory) heldBy(hub string) []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	m, ok := d.members[hub]
	if !ok {
		return nil
	}
	var ids []string
	for id := range d.house[m.Account].devices {
		if d.devices[id].Holder == hub {
			ids = append(ids, id)
		}
	}
	return ids
}

// Device is a device as its owner sees it.
type Device struct {
	wire.Device
	Holder   string     // the hub that holds it
	SignedIn bool       // signed in and confirmed at the account's newest epoch
	Verdict  home.State // what its hub has found it to hold; empty before it told
	Since    time.Time  // of Verdict
}

// devicesOf returns an account's devices, by name.
func (d *directory) devicesOf(id string) []Device {
	d.mu.RLock()
	defer d.mu.RUnlock()
	h, a := d.house[id], d.accounts[id]
	if h == nil {
		return nil
	}
	ds := make([]Device, 0, len(h.devices))
	for _, name := range slices.Sorted(maps.Keys(h.devices)) {
		b := d.devices[name]
		dev := Device{b.Device, b.Holder, b.confirmed == a.Epoch, b.told.Verdict, b.told.Since}
		if b.told.Name != "" {
			dev.Name = b.told.Name // as it is called now
		}
		if m := d.members[name]; dev.Name == "" && m != nil {
			dev.Name = m.Label
		}
		ds = append(ds, dev)
	}
	return ds
}
