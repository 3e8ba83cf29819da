package app

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// heal ends all faults, answers the hub's questions, and waits until the house is current again. It fails after four
// days.
func (h *fakeHouse) heal() {
	h.t.Helper()
	h.net.set(faults{})
	h.full.Store(false)
	for _, u := range h.units {
		u.powerOn()
	}
	var missing []string
	for range 4 * 24 * 2 {
		h.answer()
		for range 3 {
			h.wait(10 * time.Minute)
			if missing = h.missing(); len(missing) == 0 {
				return
			}
		}
	}
	h.t.Errorf("after four days without a fault:\n%s\nlog:\n%s", strings.Join(missing, "\n"), h.tail())
}

// tail is the end of the log.
func (h *fakeHouse) tail() string {
	log := h.log.String()
	return log[max(0, len(log)-3000):]
}

// missing lists what keeps the house from being current.
func (h *fakeHouse) missing() (out []string) {
	a, rows, err := h.hub.engine.House()
	h.must(err)
	if up, why := h.hub.linkState(); !up {
		out = append(out, "the link is down: "+why)
	}
	for _, r := range rows {
		u := h.unitOf(r.ID)
		switch {
		case u == nil || u.stranger || !r.Bound:
		case r.Verdict != home.Current:
			out = append(out, strings.Join([]string{r.Name, string(r.Protocol), string(r.Verdict), r.Detail, r.Hint}, "; "))
		case !u.current(a.Epoch):
			out = append(out, r.Name+" is shown current and does not hold the newest password")
		}
	}
	is, err := h.hub.store.Intents()
	h.must(err)
	for _, i := range is {
		out = append(out, "an intent is left: "+string(i.Device))
	}
	return out
}

// check checks the invariants of daemon/DESIGN.md that hold at any time, faults or not.
func (h *fakeHouse) check() {
	h.t.Helper()
	a, err := h.hub.store.Account()
	h.must(err)
	synctest.Wait() // bbolt reports damage where another transaction commits meanwhile
	h.must(h.hub.store.Check())
	// 1: no device is lost: the vault opens each.
	cs, err := h.hub.store.Credentials(a.ID)
	h.must(err)
	for _, u := range h.units {
		if p := u.holding(); p != "" && !u.stranger && !h.opens(cs, p) {
			h.t.Errorf("1: %s holds a password that the hub does not know", u.spec.Name)
		}
	}
	bs, err := h.hub.store.Bindings()
	h.must(err)
	if own := len(h.units) - 3; len(bs) != own {
		h.t.Errorf("1: %d devices are bound, want %d", len(bs), own)
	}
	// 2: epochs never decrease.
	if a.Epoch < h.least {
		h.t.Errorf("2: the hub is at epoch %d, after %d", a.Epoch, h.least)
	}
	h.least = a.Epoch
	// 3: no secret is in clear text in a file or in the log.
	h.checkSecrets()
	// 4, 8, 9: strangers were neither changed nor sent a password.
	for _, u := range h.units {
		if !u.stranger {
			continue
		}
		if p := u.leaked(); p != "" {
			h.t.Errorf("8: %s received the password %s", u.spec.Name, p)
		}
		if u.holding() != "" || u.spec.Username != "" && !u.dev.Holds(u.spec.Username, u.first) {
			h.t.Errorf("8: %s was changed", u.spec.Name)
		}
	}
	// 5: at most one move of a device at a time.
	h.moves.mu.Lock()
	if len(h.moves.twice) > 0 {
		h.t.Errorf("5: moved twice at a time: %v", h.moves.twice)
	}
	h.moves.mu.Unlock()
	// 6: no lock-outs.
	locks := h.locks
	for _, u := range h.units {
		_, n := u.dev.SignIns()
		locks += n
	}
	if locks > 0 {
		h.t.Errorf("6: %d lock-outs", locks)
	}
}

// opens reports whether a password is among credentials. One that only an intruder or a lost reset set is not needed.
func (h *fakeHouse) opens(cs []home.Credential, password string) bool {
	for _, c := range cs {
		if c.Password.Equal(home.NewSecret(password)) {
			return true
		}
	}
	return false
}

// checkSecrets searches every file of hub and service, and the log, for passwords.
func (h *fakeHouse) checkSecrets() {
	log := h.log.String()
	for _, p := range h.passwords {
		if strings.Contains(log, p) {
			h.t.Errorf("3: the password %s is in the log", p)
		}
	}
	for _, of := range []string{"hub", "service"} {
		h.must(filepath.WalkDir(h.state(of), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			raw, err := os.ReadFile(path)
			for _, p := range h.passwords {
				if bytes.Contains(raw, []byte(p)) {
					h.t.Errorf("3: the password %s is in %s", p, d.Name())
				}
			}
			return err
		}))
	}
}
