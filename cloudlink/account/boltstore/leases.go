package boltstore

import (
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// leases are the renewals of hubs since the file was opened. Only the result of a lease that ended is on disk: the
// holder of a device. After a restart of the service each hub has the time of a lease to renew its own.
type leases struct {
	mu sync.Mutex // guards of
	of map[string]renewal
}

type renewal struct {
	at       time.Time
	seq      uint64
	released bool
}

// state returns how long ago a hub has renewed its lease, and whether that still counts. The time of a hub that has
// never renewed one begins with the first question.
func (l *leases) state(hub string, now time.Time) (silent time.Duration, live bool) {
	l.mu.Lock()
	r, ok := l.of[hub]
	if !ok {
		r = renewal{at: now}
		l.of[hub] = r
	}
	l.mu.Unlock()
	silent = now.Sub(r.at)
	return silent, !r.released && silent < wire.LeaseLife
}

// renew records a renewal. A repeated message changes nothing, an older one is account.ErrReplayed.
func (l *leases) renew(p account.Position, released bool, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch last := l.of[p.Member]; {
	case p.Seq < last.seq:
		return account.ErrReplayed
	case p.Seq > last.seq:
		l.of[p.Member] = renewal{now, p.Seq, released}
	}
	return nil
}

// RenewLease renews the lease of a hub, or ends it, and returns the hubs of its account.
func (s *Store) RenewLease(p account.Position, release bool) (hubs []account.HubLease, err error) {
	hubs, err = boltfile.View(s.file, func(tx *bbolt.Tx) (hubs []account.HubLease, err error) {
		m, err := find[memberRecord](tx, bktMembers, []byte(p.Member))
		if err != nil {
			return nil, err
		}
		for _, name := range parts(tx, bktHouses, m.Account) {
			if !account.IsHub(name) {
				break // hubs come first
			}
			h, err := find[memberRecord](tx, bktMembers, []byte(name))
			if err != nil {
				return nil, err
			}
			hubs = append(hubs, account.HubLease{Name: name, Label: h.Label})
		}
		return hubs, nil
	})
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if err := s.leases.renew(p, release, now); err != nil {
		return nil, err
	}
	for i := range hubs {
		hubs[i].Silent, hubs[i].Live = s.leases.state(hubs[i].Name, now)
	}
	return hubs, nil
}

// heldByOther reports whether another hub of the account holds a device and has a lease.
func (s *Store) heldByOther(tx *bbolt.Tx, m memberRecord, d deviceRecord) (bool, error) {
	if d.Holder == "" || d.Holder == m.Name {
		return false, nil
	}
	h, ok, err := boltfile.Get[memberRecord](tx.Bucket(bktMembers), []byte(d.Holder))
	if err != nil || !ok || h.Account != m.Account {
		return false, err
	}
	_, live := s.leases.state(d.Holder, time.Now())
	return live, nil
}
