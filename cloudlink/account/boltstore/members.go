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
		Name: r.Name, Account: r.Account, Keys: wire.Keys{Sign: r.Keys.Sign, Seal: r.Keys.Seal}, Seal: r.Seal,
		Label: r.Label, Version: r.Version,
		At: at(r.At), Acked: r.Acked, Boot: r.Boot, Clock: time.Duration(r.Clock) * time.Millisecond,
	}
}

func recordOf(m account.Member) memberRecord {
	return memberRecord{
		Name: m.Name, Account: m.Account, Keys: keysRecord{m.Keys.Sign, m.Keys.Seal}, Seal: m.Seal, Label: m.Label,
		Version: m.Version,
		At:      ms(m.At), Acked: m.Acked, Boot: m.Boot, Clock: m.Clock.Milliseconds(),
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

// Notices returns the newest notices of accounts that have members. A damaged account stops no other.
func (s *Store) Notices(after string, n int) ([]wire.Notice, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (ns []wire.Notice, err error) {
		c := tx.Bucket(bktHouses).Cursor()
		k, _ := c.First()
		if after != "" {
			k, _ = c.Seek(behind(after))
		}
		for k != nil && len(ns) < n && err == nil {
			id := before(k)
			var newest wire.Notice
			a, bad := find[accountRecord](tx, bktAccounts, []byte(id))
			if bad == nil {
				newest, bad = wire.ParseNotice([]byte(a.Notice))
			}
			switch {
			case bad == nil:
				ns = append(ns, newest)
			case !errors.Is(bad, home.ErrCorrupt):
				err = bad
			}
			k, _ = c.Seek(behind(id))
		}
		return ns, err
	})
}

// behind returns the first possible key of an index behind those of an account: "0" follows "/".
func behind(id string) []byte { return []byte(id + "0") }

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

// expel deletes a member, its devices, its grants, and the pairing that it used: without that, a repeated enrolment
// would restore it.
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
	return errors.Join(
		tx.Bucket(bktMembers).Delete([]byte(m.Name)), tx.Bucket(bktHouses).Delete(under(m.Account, []byte(m.Name))),
		boltfile.DeletePrefix(tx.Bucket(bktGrants), under(m.Name, nil)),
		dropPairings(tx, func(p pairingRecord) bool { return p.Used == m.Name }),
	)
}

// clockStep is the least change of a member's clock that is worth a commit.
const clockStep = time.Second

// Hello records a member's report at its connect. Without a change it writes nothing.
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
