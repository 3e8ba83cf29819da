package smart_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/devices/smart"
)

// budget refuses what is more than three wrong sign-ins of a device in an hour, as that on disk does.
type budget struct {
	mu    sync.Mutex // guards the fields below
	spent map[home.DeviceID]int
	limit int
	calls int
}

func purse(limit int) *budget { return &budget{spent: map[home.DeviceID]int{}, limit: limit} }

func (b *budget) Spend(d home.DeviceID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spent[d] >= b.limit {
		return home.ErrBudget
	}
	b.spent[d]++
	b.calls++
	return nil
}

func (b *budget) Good(d home.DeviceID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent[d]--
	return nil
}

func (*budget) Refused(home.DeviceID) error { return nil }

func (b *budget) hour() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.spent)
}

func TestWhatIsLikeliestIsTriedFirst(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	ds := play(t, older(email, "old-password"), older(email, "new-password"), older("test@tp-link.net", "test"))
	nobodys := seen(ds[2])
	nobodys.Owner = home.NoOwner
	unknown := agreedBoth
	unknown.Recorded = 0
	for i, c := range []struct {
		dev   home.Device
		vault home.Candidates
		wrong int
	}{{seen(ds[0]), agreedBoth, 0}, {seen(ds[1]), unknown, 0}, {nobodys, unknown, 1}} { // kasa's comes before tapo's
		d, b := eager(t)
		for range 3 { // what was right is tried first again
			if _, err := d.Probe(t.Context(), c.dev, c.vault); err != nil {
				t.Fatal(err)
			}
		}
		if wrong, _ := ds[i].SignIns(); wrong != c.wrong || b.spent[c.dev.ID] != c.wrong {
			t.Errorf("device %d: %d wrong, %d spent; want %d", i, wrong, b.spent[c.dev.ID], c.wrong)
		}
	}
}

// What a device stated in discovery saves sign-ins, and is only a hint.
func TestTheFormThatADeviceWantsIsTriedFirst(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	ds := play(
		t, older(email, "old-password"), older(email, "old-password", sim.Lv1), older(email, "old-password", sim.Lv1),
	)
	for i, c := range []struct {
		extra home.JSON
		spent int
	}{
		{`{"mgt_encrypt_schm":{"encrypt_type":"AES","lv":2}}`, 0},
		{`{"mgt_encrypt_schm":{"encrypt_type":"AES"}}`, 0},
		{`{"mgt_encrypt_schm":{"lv":2}}`, 1},
	} {
		d, b := eager(t)
		dev := seen(ds[i])
		dev.Extra = c.extra
		for range 2 {
			find(t, d, dev, agreedBoth, home.Ours, home.Stale, 4)
		}
		if b.spent[dev.ID] != c.spent {
			t.Errorf("device %d: %d spent, want %d", i, b.spent[dev.ID], c.spent)
		}
	}
}

// manyWrong is a vault of eight passwords that a device does not hold.
func manyWrong() home.Candidates {
	c := home.Candidates{Account: agreed, Recorded: 3, Terms: agreedBoth.Terms}
	c.Account.Epoch = 8
	for e := home.Epoch(8); e > 0; e-- {
		c.Credentials = append(
			c.Credentials, home.Credential{Epoch: e, Username: email, Password: home.NewSecret(fmt.Sprintf("password-%d", e))},
		)
	}
	return c
}

// However often the driver is made anew within an hour, and for however many hours it lives: a device that locks after
// ten is not locked.
func TestNoOlderDeviceIsEverLocked(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for name, defects := range map[string][]sim.Defect{
		"a hash": nil, "the password itself": {sim.Lv1}, "coarse": {sim.Lv1, sim.Coarse}, "busy": {sim.Busy},
	} {
		for lives, hours := range map[int]int{5: 1, 1: 5} {
			t.Run(fmt.Sprintf("%s, %d restarts, %d hours", name, lives, hours), func(t *testing.T) {
				p := play(t, older(email, "unknown", defects...))[0]
				defer p.PowerOff()
				vault, b := manyWrong(), purse(3)
				for range lives { // restarts
					d := aes(t, smart.AESOptions{Budget: b})
					for range hours {
						for range 2 {
							f, err := d.Probe(t.Context(), seen(p), vault)
							if err != nil && !errors.Is(err, home.ErrBudget) || f.Match == home.Ours {
								t.Fatal(f, err)
							}
							_ = d.Rekey(
								t.Context(), seen(p), home.Move{
									Account: vault.Account, From: vault.Credentials[3], To: vault.Credentials[0], Terms: agreedBoth.Terms,
								},
							)
						}
						if hours > 1 {
							b.hour()
						}
					}
				}
				if wrong, locks := p.SignIns(); locks != 0 || wrong > 9 || wrong == 0 {
					t.Errorf("%d wrong sign-ins, locked %d times", wrong, locks)
				}
				if n := b.calls; n > 6 {
					t.Errorf("%d sign-ins", n)
				}
			})
		}
	}
}
