package account

import (
	"crypto/rand"
	"fmt"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func isHub(name string) bool { return strings.HasPrefix(name, string(wire.RoleHub)+"-") }

// Hub is a hub as its owner sees it.
type Hub struct {
	Name    string `json:"hub"`
	Label   string `json:"name"`
	Version string `json:"version"`
	Since   int64  `json:"since"` // Unix milliseconds
	Epoch   uint64 `json:"epoch"` // the newest whose grant is on its disk
	Devices int    `json:"devices"`
	Online  bool   `json:"online"` // as far as is known: it has not said otherwise
}

func (s *Service) hubs(account string) []Hub {
	hs := []Hub{}
	for _, m := range s.dir.membersOf(account) {
		if isHub(m.Name) {
			hs = append(hs, Hub{m.Name, m.Label, m.Version, m.At, m.Acked, len(s.dir.heldBy(m.Name)), s.dir.online(m)})
		}
	}
	return hs
}

// pair makes a pairing for the owner of an account. The hub is told the password too, where it is given here: without it a hub can
// move no device before the next change.
func (s *Service) pair(a *account, password home.Secret) (pairing.Pairing, error) {
	if len(s.o.HubBrokers) == 0 {
		return pairing.Pairing{}, fmt.Errorf("pairing: no broker: %w", home.ErrUnavailable)
	}
	p := pairing.Pairing{
		Name: wire.NewID(), Secret: home.NewSecret(rand.Text()), Account: a.ID, Service: s.id.Keys, Brokers: s.o.HubBrokers, URL: s.base,
	}
	now := s.now()
	o := offer{
		Account: a.ID, Secret: s.st.key.Seal([]byte(p.Secret.Reveal()), "pairing/"+p.Name), Expires: now.Add(s.o.Policy.PairingLife).UnixMilli(),
		Epoch: a.Epoch,
	}
	if !password.IsZero() {
		o.Password = s.st.key.Seal([]byte(password.Reveal()), "pairing/"+p.Name+"/password")
	}
	err := s.st.Update(func(tx *bbolt.Tx) error {
		err := put(tx, bktPairings, []byte(p.Name), o)
		if err != nil {
			return err
		}
		return record(tx, a.ID, Event{At: now.UnixMilli(), What: "pairing made"})
	})
	return p, err
}

// removeHub removes a hub with everything that it holds: what an intruder's hub brought in does not outlive it.
func (s *Service) removeHub(account, hub string) error {
	s.change.Lock()
	defer s.change.Unlock()
	m, ok := s.dir.member(hub)
	if !ok || m.Account != account || !isHub(hub) {
		return errNotHere
	}
	gone := s.dir.heldBy(hub)
	out := append([]string{hub}, s.own(gone)...)
	err := s.st.Update(func(tx *bbolt.Tx) error {
		if err := expel(tx, out, gone); err != nil {
			return err
		}
		return record(tx, account, Event{At: s.now().UnixMilli(), What: "hub removed", Detail: m.Label})
	})
	if err != nil {
		return err
	}
	s.dir.forget(out, gone)
	s.watch.tell(account)
	return nil
}

// own returns those of the devices that are members themselves.
func (s *Service) own(ids []string) []string {
	var own []string
	for _, id := range ids {
		if _, ok := s.dir.member(id); ok {
			own = append(own, id)
		}
	}
	return own
}

// expel deletes members and devices, with the grants and pairings of those.
func expel(tx *bbolt.Tx, members, devices []string) error {
	for _, name := range members {
		if err := tx.Bucket(bktMembers).Delete([]byte(name)); err != nil {
			return err
		}
		if err := drop(tx, bktGrants, name+"/"); err != nil {
			return err
		}
		// An expelled hub that says its enrolment again must not be let in by the pairing that it used.
		var used [][]byte
		err := tx.Bucket(bktPairings).ForEach(func(k, _ []byte) error {
			p, _, err := get[offer](tx, bktPairings, k)
			if p.Used == name {
				used = append(used, append([]byte(nil), k...))
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, k := range used {
			if err := tx.Bucket(bktPairings).Delete(k); err != nil {
				return err
			}
		}
	}
	for _, id := range devices {
		if err := tx.Bucket(bktDevices).Delete([]byte(id)); err != nil {
			return err
		}
		if err := tx.Bucket(bktSignIns).Delete([]byte(id)); err != nil {
			return err
		}
	}
	return nil
}
