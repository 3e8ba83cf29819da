package app

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account/boltstore"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// troubles returns what stops a part of the hub's work until a person changes it.
func (h *Hub) troubles() []home.Trouble {
	troubles := append(h.store.Troubles(), h.discovery.Troubles()...)
	if h.o.Service != nil {
		troubles = append(troubles, h.o.Service.damage...)
	}
	for _, l := range h.listeners() {
		if err := l.failure(); err != nil {
			what := fmt.Sprintf("the %s is closed: %v", l.name, err)
			troubles = append(troubles, home.Trouble{What: what, Hint: home.HintOf(err)})
		}
	}
	troubles = append(troubles, h.houseTroubles()...)
	troubles = append(troubles, h.peers.troubles(time.Now())...)
	return append(troubles, lostAtReboot(h.o.State)...)
}

// damageOf returns the trouble of an account service whose store has damaged records, and logs them.
func damageOf(store *boltstore.Store, log *slog.Logger) []home.Trouble {
	damaged, err := store.Damaged()
	switch {
	case err != nil:
		return []home.Trouble{home.TroubleOf(err)}
	case len(damaged) == 0:
		return nil
	}
	log.Error("records of the account service are damaged", "count", len(damaged),
		"records", damaged[:min(len(damaged), 20)])
	return []home.Trouble{{
		What: fmt.Sprintf("the account service's state has %d damaged records", len(damaged)),
		Hint: "stop rekeyd, move the state away, and restore a backup of before: rekeyd restore FILE",
	}}
}

// lostAtReboot returns the trouble of a state directory that is in memory.
func lostAtReboot(state string) []home.Trouble {
	if !Volatile(state) {
		return nil
	}
	return []home.Trouble{{
		What: "the state in " + state + " is in memory: passwords and bindings are lost when this machine restarts",
		Hint: "choose a directory on a disk with --state",
	}}
}

// WarnOfVolatile logs a state directory that is in memory.
func WarnOfVolatile(state string, log *slog.Logger) {
	for _, trouble := range lostAtReboot(state) {
		log.Warn("state is lost at a restart of the machine", "trouble", trouble.What, "hint", trouble.Hint)
	}
}
