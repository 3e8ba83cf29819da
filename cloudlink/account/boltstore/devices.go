package boltstore

import (
	"errors"
	"hash/maphash"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

func isNative(d deviceRecord) bool { return d.Protocol == string(home.Native) }

func bindingPlace(d deviceRecord) string { return "binding/" + d.Account + "/" + d.ID }

// device makes a device of a record, without its secret.
func (r deviceRecord) device(signedIn uint64) account.Device {
	return account.Device{
		Device: wire.Device{
			ID: r.ID, Kind: r.Kind, Protocol: r.Protocol, Rank: r.Rank, Model: r.Model, Name: r.Name, MAC: r.MAC,
		},
		Account: r.Account, Holder: r.Holder, SignedIn: signedIn,
	}
}

// binding opens the binding secret of a device. Up to format 3 its box was not bound to the account.
func (s *Store) binding(r deviceRecord) (home.Key, error) {
	if len(r.Secret) == 0 {
		return home.Key{}, nil
	}
	secret, err := s.key.Open(r.Secret, bindingPlace(r))
	if err != nil {
		secret, err = s.key.Open(r.Secret, "binding/"+r.ID)
	}
	return home.KeyBytes(secret), err
}

// revision identifies the contents of a record for as long as this process runs; it is never 0.
func (s *Store) revision(raw []byte) uint64 { return maphash.Bytes(s.seed, raw) | 1 }

func (s *Store) findDevice(tx *bbolt.Tx, id, device string) (account.Device, error) {
	key := under(id, []byte(device))
	raw := tx.Bucket(bktDevices).Get(key)
	if raw == nil {
		return account.Device{}, home.ErrNotFound
	}
	r, err := boltfile.Decode[deviceRecord](key, raw)
	if err != nil {
		return account.Device{}, err
	}
	d := r.device(boltfile.Number(tx.Bucket(bktSignIns).Get(key)))
	d.Revision = s.revision(raw)
	d.Secret, err = s.binding(r)
	return d, err
}

func signedIn(tx *bbolt.Tx, r deviceRecord) uint64 {
	return boltfile.Number(tx.Bucket(bktSignIns).Get(under(r.Account, []byte(r.ID))))
}

// Device returns a device of an account.
func (s *Store) Device(id, device string) (account.Device, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (account.Device, error) {
		d, err := s.findDevice(tx, id, device)
		d.Revision = 0 // nothing was checked
		return d, err
	})
}

// Devices returns an account's devices by ID, without their secrets.
func (s *Store) Devices(id string) ([]account.Device, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (ds []account.Device, err error) {
		err = boltfile.Each(tx.Bucket(bktDevices), under(id, nil), func(_ []byte, r deviceRecord) error {
			ds = append(ds, r.device(signedIn(tx, r)))
			return nil
		})
		return ds, err
	})
}

// Bind makes devices belong to the account of the member.
func (s *Store) Bind(pos account.Position, ds []account.Device, most int) ([]wire.Outcome, error) {
	return s.once(pos, func(tx *bbolt.Tx) (refused []wire.Outcome, err error) {
		m, err := find[memberRecord](tx, bktMembers, []byte(pos.Member))
		if err != nil {
			return nil, err
		}
		room := most - len(parts(tx, bktDevices, m.Account))
		for _, d := range ds {
			old, known, err := boltfile.Get[deviceRecord](tx.Bucket(bktDevices), under(m.Account, []byte(d.ID)))
			if err != nil {
				return nil, err
			}
			held, err := s.heldByOther(tx, m, old)
			if err != nil {
				return nil, err
			}
			if held {
				refused = append(refused, wire.Outcome{ID: d.ID, Code: wire.CodeHeld})
				continue
			}
			if !known {
				if room--; room < 0 {
					refused = append(refused, wire.Outcome{ID: d.ID, Code: wire.CodeBusy})
					continue
				}
			}
			if err := s.bind(tx, m, d, old); err != nil {
				return nil, err
			}
		}
		return refused, nil
	})
}

// bind stores one device; old is its record in the account, zero for none. With another secret its sign-in is void.
func (s *Store) bind(tx *bbolt.Tx, m memberRecord, d account.Device, old deviceRecord) error {
	r := deviceRecord{
		ID: d.ID, Kind: d.Kind, Protocol: d.Protocol, Rank: d.Rank, Model: d.Model, Name: d.Name, MAC: d.MAC,
		Account: m.Account, Holder: m.Name,
	}
	key := under(r.Account, []byte(r.ID))
	native := isNative(r)
	same := native && isNative(old) // the secret of its enrolment stays
	if !native && len(old.Secret) > 0 {
		secret, err := s.binding(old)
		same = err == nil && secret.Equal(d.Secret)
	}
	var err error
	switch {
	case same:
		r.Secret = old.Secret
	case !native:
		r.Secret = s.key.Seal(d.Secret.Reveal(), bindingPlace(r))
		fallthrough
	default:
		err = tx.Bucket(bktSignIns).Delete(key)
	}
	if native {
		err = errors.Join(err, tx.Bucket(bktNatives).Put(under(r.ID, []byte(r.Account)), nil))
	}
	return errors.Join(err, boltfile.Put(tx.Bucket(bktDevices), key, r))
}

// dropDevice deletes a device. A native device of the account is no member any more.
func dropDevice(tx *bbolt.Tx, d deviceRecord) error {
	key := under(d.Account, []byte(d.ID))
	err := errors.Join(tx.Bucket(bktDevices).Delete(key), tx.Bucket(bktSignIns).Delete(key))
	if !isNative(d) {
		return err
	}
	err = errors.Join(err, tx.Bucket(bktNatives).Delete(under(d.ID, []byte(d.Account))))
	m, ok, bad := boltfile.Get[memberRecord](tx.Bucket(bktMembers), []byte(d.ID))
	if ok && m.Account == d.Account {
		err = errors.Join(err, expel(tx, m))
	}
	return errors.Join(err, bad)
}

// Unbind deletes devices from an account.
func (s *Store) Unbind(pos account.Position, id string, ids []string) ([]wire.Outcome, error) {
	return s.once(pos, func(tx *bbolt.Tx) (refused []wire.Outcome, err error) {
		for _, device := range ids {
			d, ok, err := boltfile.Get[deviceRecord](tx.Bucket(bktDevices), under(id, []byte(device)))
			if err != nil {
				return nil, err
			}
			if !ok {
				refused = append(refused, wire.Outcome{ID: device, Code: wire.CodeUnknown})
				continue
			}
			if err := dropDevice(tx, d); err != nil {
				return nil, err
			}
		}
		return refused, nil
	})
}

// SignIn records that devices are signed in.
func (s *Store) SignIn(pos account.Position, id string, epoch uint64, ds []account.Device) ([]wire.Outcome, error) {
	return s.once(pos, func(tx *bbolt.Tx) (refused []wire.Outcome, err error) {
		a, err := find[accountRecord](tx, bktAccounts, []byte(id))
		if err == nil && a.Epoch != epoch {
			err = account.ErrEpoch
		}
		if err != nil {
			return nil, err
		}
		devices, signIns, value := tx.Bucket(bktDevices), tx.Bucket(bktSignIns), boltfile.Key(epoch)
		for _, d := range ds {
			key := under(id, []byte(d.ID))
			code, err := s.mayNotSignIn(devices, key, pos.Member, d.Revision)
			if err != nil {
				return nil, err
			}
			if code != "" {
				refused = append(refused, wire.Outcome{ID: d.ID, Code: code})
			} else if err := signIns.Put(key, value); err != nil {
				return nil, err
			}
		}
		return refused, nil
	})
}

// mayNotSignIn returns why the member may not sign a device in; empty when it may. The record of revision was checked.
func (s *Store) mayNotSignIn(
	devices *bbolt.Bucket, key []byte, member string, revision uint64,
) (code string, err error) {
	raw := devices.Get(key)
	switch {
	case raw == nil:
		return wire.CodeUnknown, nil
	case s.revision(raw) == revision:
		return "", nil
	}
	switch d, err := boltfile.Decode[deviceRecord](key, raw); {
	case err != nil:
		return "", err
	case d.Holder != member && d.ID != member:
		return wire.CodeForeign, nil
	}
	return "", nil
}

// View returns a member with its account and devices as of one instant.
func (s *Store) View(member string, ids []string) (account.MemberView, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (account.MemberView, error) {
		m, err := find[memberRecord](tx, bktMembers, []byte(member))
		if err != nil {
			return account.MemberView{}, err
		}
		v := account.MemberView{Member: m.member(), Devices: make(map[string]account.Device, len(ids))}
		if v.Account, err = s.findAccount(tx, m.Account); err != nil {
			return account.MemberView{}, err
		}
		for _, id := range ids {
			d, err := s.findDevice(tx, m.Account, id)
			switch {
			case err == nil:
				if d.Holder != member && d.ID != member {
					d.Revision = 0
				}
				v.Devices[id] = d
			case !errors.Is(err, home.ErrNotFound):
				return account.MemberView{}, err
			}
		}
		return v, nil
	})
}

// before is the first half of a key of an index.
func before(key []byte) string {
	for i, c := range key {
		if c == '/' {
			return string(key[:i])
		}
	}
	return string(key)
}
