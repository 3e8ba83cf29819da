package boltstore

import (
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

func (r memberRecord) member() account.Member {
	return account.Member{
		Name: r.Name, Account: r.Account, Keys: wire.Keys{Sign: r.Keys.Sign, Seal: r.Keys.Seal}, Seal: r.Seal, Label: r.Label, Version: r.Version,
		At: at(r.At), Acked: r.Acked, Boot: r.Boot, Clock: time.Duration(r.Clock) * time.Millisecond,
	}
}

func recordOf(m account.Member) memberRecord {
	return memberRecord{
		Name: m.Name, Account: m.Account, Keys: keysRecord{m.Keys.Sign, m.Keys.Seal}, Seal: m.Seal, Label: m.Label, Version: m.Version,
		At: ms(m.At), Acked: m.Acked, Boot: m.Boot, Clock: m.Clock.Milliseconds(),
	}
}

// Member returns a member.
func (s *Store) Member(name string) (account.Member, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (account.Member, error) {
		r, err := find[memberRecord](tx, bktMembers, []byte(name))
		return r.member(), err
	})
}

// Members returns an account's members; "hub-" sorts before "rk-".
func (s *Store) Members(id string) ([]account.Member, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (ms []account.Member, err error) {
		for _, name := range parts(tx, bktHouses, id) {
			r, err := find[memberRecord](tx, bktMembers, []byte(name))
			if err != nil {
				return nil, err
			}
			ms = append(ms, r.member())
		}
		return ms, nil
	})
}

// Houses returns the accounts that have members.
func (s *Store) Houses() ([]account.Account, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (as []account.Account, err error) {
		last := ""
		c := tx.Bucket(bktHouses).Cursor()
		for k, _ := c.First(); k != nil && err == nil; k, _ = c.Next() {
			id := before(k)
			if id == last {
				continue
			}
			last = id
			var a account.Account
			a, err = s.findAccount(tx, id)
			as = append(as, a)
		}
		return as, err
	})
}

// AddPairing stores a pairing.
func (s *Store) AddPairing(p account.Pairing, e account.Event) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		r := pairingRecord{
			Account: p.Account, Secret: s.seal(p.Secret, "pairing/"+p.Name), Password: s.seal(p.Password, "pairing/"+p.Name+"/password"),
			Epoch: p.Epoch, Used: p.Used, Expires: ms(p.Expires),
		}
		a, err := find[accountRecord](tx, bktAccounts, []byte(p.Account))
		if err == nil && (a.Closed || a.Epoch != p.Epoch) {
			err = account.ErrEpoch
		}
		if err != nil {
			return err
		}
		return errors.Join(boltfile.Put(tx.Bucket(bktPairings), []byte(p.Name), r), record(tx, p.Account, e))
	})
}

// Pairing returns a pairing.
func (s *Store) Pairing(name string) (account.Pairing, error) {
	r, err := boltfile.View(s.file, func(tx *bbolt.Tx) (pairingRecord, error) {
		return find[pairingRecord](tx, bktPairings, []byte(name))
	})
	if err != nil {
		return account.Pairing{}, err
	}
	secret, err1 := s.open(r.Secret, "pairing/"+name)
	password, err2 := s.open(r.Password, "pairing/"+name+"/password")
	return account.Pairing{
		Name: name, Account: r.Account, Secret: secret, Password: password, Epoch: r.Epoch, Used: r.Used, Expires: at(r.Expires),
	}, errors.Join(err1, err2)
}

// dropPairings deletes the pairings that which selects.
func dropPairings(tx *bbolt.Tx, which func(pairingRecord) bool) error {
	var names [][]byte
	err := boltfile.Each(tx.Bucket(bktPairings), nil, func(k []byte, p pairingRecord) error {
		if which(p) {
			names = append(names, append([]byte(nil), k...))
		}
		return nil
	})
	for _, k := range names {
		err = errors.Join(err, tx.Bucket(bktPairings).Delete(k))
	}
	return err
}

func dropUnusedPairings(tx *bbolt.Tx, id string) error {
	return dropPairings(tx, func(p pairingRecord) bool { return p.Account == id && p.Used == "" })
}

// Enrol makes a member.
func (s *Store) Enrol(e account.Enrolment) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		m := e.Member
		a, err := find[accountRecord](tx, bktAccounts, []byte(m.Account))
		if err == nil && (a.Closed || a.Epoch != e.Grant.Notice.Epoch) {
			err = account.ErrEpoch
		}
		if err != nil {
			return err
		}
		said, _, err := boltfile.Get[saidRecord](tx.Bucket(bktSaid), []byte(m.Name))
		if err != nil {
			return err
		}
		old, known, err := boltfile.Get[memberRecord](tx.Bucket(bktMembers), []byte(m.Name))
		if err != nil {
			return err
		}
		added := true
		switch {
		case known && old.Account != m.Account && m.IsHub():
			return home.ErrForeign
		case known && old.Account != m.Account: // a device's owner has reset it, or its account has unbound it
			if err := expel(tx, old); err != nil {
				return err
			}
		case known:
			added = false
			m.At = at(old.At)
		}
		unused := false
		if m.IsHub() {
			if unused, err = usePairing(tx, e.Pairing, m); err != nil {
				return err
			}
		}
		if e.Seq < said.Seq && !unused {
			return account.ErrReplayed
		}
		if !m.IsHub() {
			if err := s.invite(tx, m, e.Secret); err != nil {
				return err
			}
		}
		if added {
			if err := s.reportMember(tx, a, e); err != nil {
				return err
			}
		}
		return errors.Join(boltfile.Put(tx.Bucket(bktMembers), []byte(m.Name), recordOf(m)),
			tx.Bucket(bktHouses).Put(under(m.Account, []byte(m.Name)), nil), putGrant(tx, e.Grant, a.Epoch),
			boltfile.Put(tx.Bucket(bktSaid), []byte(m.Name), saidRecord{Seq: e.Seq}))
	})
}

// reportMember records a new member in the history, and queues the mail to the account's owner with its link.
func (s *Store) reportMember(tx *bbolt.Tx, a accountRecord, e account.Enrolment) error {
	err := errors.Join(s.queue(tx, e.Mail), record(tx, a.ID, e.Event))
	if err != nil || e.Disown.Key == "" {
		return err
	}
	a.Links = append(a.Links, e.Disown.Key) // a reset link stays: a hub that enters must not end it
	return errors.Join(putLink(tx, e.Disown), boltfile.Put(tx.Bucket(bktAccounts), []byte(a.ID), a))
}

// usePairing marks a pairing as used by a hub, and tells whether nobody had used it.
func usePairing(tx *bbolt.Tx, name string, m account.Member) (unused bool, err error) {
	p, ok, err := boltfile.Get[pairingRecord](tx.Bucket(bktPairings), []byte(name))
	switch {
	case err != nil:
		return false, err
	case !ok || p.Account != m.Account || p.Used != "" && p.Used != m.Name:
		return false, account.ErrUsed
	}
	unused = p.Used == ""
	p.Used = m.Name
	return unused, boltfile.Put(tx.Bucket(bktPairings), []byte(name), p)
}

// invite stores the binding secret of a native device that a hub of the account has bound.
func (s *Store) invite(tx *bbolt.Tx, m account.Member, secret home.Secret) error {
	key := under(m.Account, []byte(m.Name))
	d, err := find[deviceRecord](tx, bktDevices, key)
	if err == nil && !isNative(d) {
		err = home.ErrNotFound
	}
	if err != nil {
		return err
	}
	d.Secret = s.seal(secret, bindingPlace(d))
	return boltfile.Put(tx.Bucket(bktDevices), key, d)
}

// Invitations returns the accounts that have bound a native device.
func (s *Store) Invitations(device string) ([]string, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) ([]string, error) { return parts(tx, bktNatives, device), nil })
}

// RemoveHub removes a hub with the devices that it holds.
func (s *Store) RemoveHub(id, hub string, e account.Event) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		m, err := find[memberRecord](tx, bktMembers, []byte(hub))
		if err == nil && (m.Account != id || !account.IsHub(hub)) {
			err = home.ErrNotFound
		}
		if err != nil {
			return err
		}
		return errors.Join(expel(tx, m), record(tx, id, e))
	})
}

// expel deletes a member with what it holds, its grants, and the pairing that it used: it must not come back by a repeated enrolment.
func expel(tx *bbolt.Tx, m memberRecord) error {
	if account.IsHub(m.Name) {
		var held []deviceRecord
		err := boltfile.Each(tx.Bucket(bktDevices), under(m.Account, nil), func(_ []byte, d deviceRecord) error {
			if d.Holder == m.Name {
				held = append(held, d)
			}
			return nil
		})
		for _, d := range held {
			err = errors.Join(err, dropDevice(tx, d))
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(tx.Bucket(bktMembers).Delete([]byte(m.Name)), tx.Bucket(bktHouses).Delete(under(m.Account, []byte(m.Name))),
		boltfile.DeletePrefix(tx.Bucket(bktGrants), under(m.Name, nil)),
		dropPairings(tx, func(p pairingRecord) bool { return p.Used == m.Name }))
}

// clockStep is the least change of a member's clock that is worth a commit.
const clockStep = time.Second

// Hello records what a member reports at its connect. It writes only what has changed.
func (s *Store) Hello(name string, boot uint64, clock time.Duration) error {
	m, err := s.Member(name)
	if err != nil || m.Boot == boot && (m.Clock-clock).Abs() < clockStep {
		return err
	}
	return s.file.Update(func(tx *bbolt.Tx) error {
		r, err := find[memberRecord](tx, bktMembers, []byte(name))
		if err != nil {
			return err
		}
		r.Boot, r.Clock = boot, clock.Milliseconds()
		return boltfile.Put(tx.Bucket(bktMembers), []byte(name), r)
	})
}

// Acknowledge records that a grant is on the member's disk.
func (s *Store) Acknowledge(said account.Said, k account.Acknowledgement) error {
	_, err := s.once(said, func(tx *bbolt.Tx) ([]wire.Outcome, error) {
		m, err := find[memberRecord](tx, bktMembers, []byte(said.Member))
		if err == nil && m.Account != k.Account {
			err = home.ErrNotFound
		}
		if err == nil && k.Verify != nil {
			var a account.Account
			if a, err = s.findAccount(tx, k.Account); err == nil {
				err = k.Verify(m.member(), a)
			}
		}
		if err != nil {
			return nil, err
		}
		m.Acked = max(m.Acked, k.Epoch)
		if len(k.Seal) > 0 {
			m.Seal = k.Seal
		}
		return nil, errors.Join(boltfile.Put(tx.Bucket(bktMembers), []byte(m.Name), m), dropGrants(tx, m.Name, k.Epoch))
	})
	return err
}

// LastSeq returns the sequence number of the member's last change.
func (s *Store) LastSeq(member string) (uint64, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (uint64, error) {
		r, _, err := boltfile.Get[saidRecord](tx.Bucket(bktSaid), []byte(member))
		return r.Seq, err
	})
}

// once does what a member's message asks for, and records the answer. The same message again is answered with that, an older one refused.
// The zero Said is no member's.
func (s *Store) once(said account.Said, do func(*bbolt.Tx) ([]wire.Outcome, error)) ([]wire.Outcome, error) {
	return boltfile.Update(s.file, func(tx *bbolt.Tx) ([]wire.Outcome, error) {
		if said == (account.Said{}) {
			return do(tx)
		}
		last, known, err := boltfile.Get[saidRecord](tx.Bucket(bktSaid), []byte(said.Member))
		switch {
		case err != nil:
			return nil, err
		case known && said.Seq < last.Seq:
			return nil, account.ErrReplayed
		case known && said.Seq == last.Seq:
			var refused []wire.Outcome
			for _, o := range last.Refused {
				refused = append(refused, wire.Outcome{ID: o.ID, Code: o.Code})
			}
			return refused, nil
		}
		refused, err := do(tx)
		if err != nil {
			return nil, err
		}
		now := saidRecord{Seq: said.Seq}
		for _, o := range refused {
			now.Refused = append(now.Refused, outcomeRecord{o.ID, o.Code})
		}
		return refused, boltfile.Put(tx.Bucket(bktSaid), []byte(said.Member), now)
	})
}

// keepGrants is how many epochs a member can have missed and still get the grant of each.
const keepGrants = 16

// putGrant stores a grant, and deletes the one that keepGrants others have followed.
func putGrant(tx *bbolt.Tx, g account.Grant, epoch uint64) error {
	if epoch > keepGrants {
		if err := dropGrants(tx, g.Member, epoch-keepGrants); err != nil {
			return err
		}
	}
	return boltfile.Put(tx.Bucket(bktGrants), under(g.Member, boltfile.Key(epoch)), grantRecord{notice(g.Notice.JWS()), g.Sealed})
}

// dropGrants deletes a member's grants up to an epoch.
func dropGrants(tx *bbolt.Tx, member string, epoch uint64) error {
	prefix := under(member, nil)
	var old [][]byte
	err := boltfile.Each(tx.Bucket(bktGrants), prefix, func(k []byte, _ grantRecord) error {
		if boltfile.Number(k[len(prefix):]) <= epoch {
			old = append(old, append([]byte(nil), k...))
		}
		return nil
	})
	for _, k := range old {
		err = errors.Join(err, tx.Bucket(bktGrants).Delete(k))
	}
	return err
}

// Grants returns the member's grants of epochs newer than after.
func (s *Store) Grants(member string, after uint64) ([]account.Grant, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (gs []account.Grant, err error) {
		prefix := under(member, nil)
		err = boltfile.Each(tx.Bucket(bktGrants), prefix, func(k []byte, r grantRecord) error {
			if boltfile.Number(k[len(prefix):]) <= after {
				return nil
			}
			n, err := wire.ParseNotice([]byte(r.Notice))
			gs = append(gs, account.Grant{Member: member, Notice: n, Sealed: r.Sealed})
			return err
		})
		return gs, err
	})
}
