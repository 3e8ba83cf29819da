package account

import (
	"crypto/rand"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// "This was not me": the mail that tells of a change has a link by which the address's owner takes the account back.

// disownable makes the link of a change, in its transaction, and returns its token.
func (s *Service) disownable(tx *bbolt.Tx, a *account, door string) (string, error) {
	token := rand.Text()
	now := s.now()
	return token, put(tx, bktLinks, hashed(token), link{
		Purpose: "notme", Account: a.ID, Epoch: a.Epoch, Door: door, At: now.UnixMilli(), Expires: now.Add(s.o.Policy.DisownLife).UnixMilli(),
	})
}

// Disown answers "this was not me" of a change: in one transaction the link is used up, every session ended, the password that was set
// opens nothing any more, the hubs that were enrolled since are removed with what they hold, and a reset mail is queued. The errors are
// those of a reset's link.
func (s *Service) Disown(token string) error {
	s.change.Lock()
	defer s.change.Unlock()
	l, old, err := s.linkOf(token, "notme")
	if err != nil {
		return err
	}
	now := s.now()
	a := *old
	reset := rand.Text()
	a.Closed, a.Reset = true, hashed(reset)
	var out, gone []string
	for _, m := range s.dir.membersOf(a.ID) {
		if isHub(m.Name) && m.At >= l.At {
			ids := s.dir.heldBy(m.Name)
			out, gone = append(out, m.Name), append(gone, ids...)
			out = append(out, s.own(ids)...)
		}
	}
	life := s.o.Policy.ResetLife
	err = s.st.Update(func(tx *bbolt.Tx) error {
		if err := s.useLink(tx, token); err != nil {
			return err
		}
		if err := dropLink(tx, old); err != nil {
			return err
		}
		if err := drop(tx, bktSessions, a.ID+"/"); err != nil {
			return err
		}
		if err := dropPairings(tx, a.ID); err != nil {
			return err
		}
		if err := expel(tx, out, gone); err != nil {
			return err
		}
		fresh := link{Purpose: "reset", Account: a.ID, Epoch: a.Epoch, Door: DoorWeb, At: now.UnixMilli(), Expires: now.Add(life).UnixMilli()}
		if err := put(tx, bktLinks, a.Reset, fresh); err != nil {
			return err
		}
		if err := put(tx, bktAccounts, []byte(a.ID), &a); err != nil {
			return err
		}
		if err := s.queue(tx, mailReset(&a, s.base, reset, DoorWeb, now, life)); err != nil {
			return err
		}
		return record(tx, a.ID, Event{At: now.UnixMilli(), What: "change disowned", Door: l.Door, Epoch: l.Epoch})
	})
	if err != nil {
		return err
	}
	s.dir.setAccount(&a, home.Secret{})
	s.dir.forget(out, gone)
	s.o.Log.Warn("change disowned by the account's owner", "account", a.ID, "epoch", l.Epoch, "hubs_removed", len(out))
	poke(s.mails)
	s.watch.tell(a.ID)
	return nil
}

// LinkOf tells what a mailed token is good for, and uses nothing up: "reset", "activate", or "notme". The errors are *v1.Error.
func (s *Service) LinkOf(token, purpose string) (Link, error) {
	l, a, err := s.linkOf(token, purpose)
	if err != nil {
		return Link{}, err
	}
	return Link{Email: a.Email, Door: l.Door, Lang: a.Lang, Hubs: s.hubs(a.ID)}, nil
}

// Link is what a mailed token is for.
type Link struct {
	Email string
	Door  string
	Lang  string
	Hubs  []Hub
}

// dropPairings ends the pairings of an account that nobody has used.
func dropPairings(tx *bbolt.Tx, account string) error {
	var open [][]byte
	err := tx.Bucket(bktPairings).ForEach(func(k, _ []byte) error {
		p, _, err := get[offer](tx, bktPairings, k)
		if p.Account == account && p.Used == "" {
			open = append(open, append([]byte(nil), k...))
		}
		return err
	})
	for _, k := range open {
		err = errors.Join(err, tx.Bucket(bktPairings).Delete(k))
	}
	return err
}
