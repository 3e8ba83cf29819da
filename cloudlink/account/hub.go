package account

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Hub is a hub as its owner sees it.
type Hub struct {
	Name    string `json:"hub"`
	Label   string `json:"name"`
	Version string `json:"version"`
	Since   int64  `json:"since"` // Unix milliseconds
	Epoch   uint64 `json:"epoch"` // the newest whose grant is on its disk
	Devices int    `json:"devices"`
	Online  bool   `json:"online"` // it has not reported to be offline
}

// Hubs returns an account's hubs, by name.
func (s *Service) Hubs(account string) ([]Hub, error) {
	hs := []Hub{}
	ms, err := s.st.Members(account)
	if err != nil {
		return hs, err
	}
	ds, err := s.st.Devices(account)
	held := map[string]int{}
	for _, d := range ds {
		held[d.Holder]++
	}
	for _, m := range ms {
		if m.IsHub() {
			hs = append(hs, Hub{m.Name, m.Label, m.Version, m.At.UnixMilli(), m.Acked, held[m.Name], s.Reports.Online(m.Name)})
		}
	}
	return hs, err
}

// HubsAndDevices returns how many hubs and devices an account has.
func (s *Service) HubsAndDevices(account string) (hubs, devices int, err error) {
	hs, err := s.Hubs(account)
	for _, h := range hs {
		hubs++
		devices += h.Devices
	}
	return hubs, devices, err
}

// pair makes a pairing for the owner of an account. The hub is given the password too, where it is known here:
// without it a hub can move no device before the next change.
//
// Where a hub has shown a notice that this state lacks, the account continues behind it first, with the same password:
// its owner has just given it, and the hub takes no epoch a second time.
func (s *Service) pair(a Account, password home.Secret, door string) (pairing.Pairing, error) {
	if len(s.o.HubBrokers) == 0 {
		return pairing.Pairing{}, fmt.Errorf("pairing: no broker: %w", home.ErrUnavailable)
	}
	if a.Ahead.Epoch != 0 {
		_, err := s.begin(change{
			account: a, cause: "changed", door: door, phc: a.Hash.Reveal(), password: password, silent: true,
		})
		if err == nil {
			a, err = s.st.Account(a.ID)
		}
		if err != nil {
			return pairing.Pairing{}, err
		}
	}
	p := pairing.Pairing{
		Name: wire.NewID(), Secret: home.NewSecret(rand.Text()), Account: a.ID, Service: s.id.Keys,
		Brokers: wire.Brokers(s.o.HubBrokers), URL: cmp.Or(s.o.HubURL, s.base),
	}
	now := s.Now()
	offer := Pairing{
		Name: p.Name, Account: a.ID, Secret: p.Secret, Password: password, Epoch: a.Epoch,
		Expires: now.Add(s.o.Policy.PairingLife),
	}
	return p, s.st.AddPairing(offer, Event{At: now, What: "pairing made"})
}

// Enrol makes a member of the account a. A mail reports a new hub to the owner, with the link "this was not me": an
// intruder must not add one unseen. The errors are those of Members.Enrol.
func (s *Service) Enrol(a Account, e Enrolment) error {
	if m := e.Member; m.IsHub() {
		token := rand.Text()
		e.Mail = s.room(s.letters.HubAdded(a.recipient(), m.Label, token, m.At))
		e.Disown = MailLink{
			Key: hashed(token), Purpose: PurposeDisown, Account: a.ID, Epoch: a.Epoch, Door: DoorWeb, At: m.At,
			Expires: m.At.Add(disownLife),
		}
	}
	if err := s.st.Enrol(e); err != nil {
		return err
	}
	poke(s.mails)
	s.Changes.Add(a.ID)
	return nil
}

// DeviceInfo is a device as its owner sees it.
type DeviceInfo struct {
	wire.Device
	Holder   string     // the hub that holds it
	SignedIn bool       // at the account's newest epoch
	Verdict  home.State // which credential its hub has found it to hold; empty before the hub's first report
	Since    time.Time  // of Verdict
}

// Shown returns whether a door shows a device: cameras of the NC class only tpCamera, as at the vendor; others all.
func Shown(model, door string) bool {
	return door == DoorTPCamera || !strings.HasPrefix(strings.ToUpper(model), "NC")
}

// devices returns an account's devices, by ID.
func (s *Service) devices(a Account) ([]DeviceInfo, error) {
	ds, err := s.st.Devices(a.ID)
	if err != nil {
		return nil, err
	}
	ms, err := s.st.Members(a.ID)
	if err != nil {
		return nil, err
	}
	labels := map[string]string{}
	for _, m := range ms {
		labels[m.Name] = m.Label
	}
	infos := make([]DeviceInfo, len(ds))
	for i, d := range ds {
		r := s.Reports.device(a.ID, d.ID)
		info := DeviceInfo{d.Device, d.Holder, d.SignedIn == a.Epoch, r.Verdict, r.Since}
		if r.Name != "" {
			info.Name = r.Name // as it is called now
		}
		if info.Name == "" {
			info.Name = labels[d.ID] // a native device is a member
		}
		infos[i] = info
	}
	return infos, nil
}
