package daemon

import (
	"cmp"
	"errors"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// TryRekey is Rekey for devices of protocols in which a move is a guess: the next move of each may send commands that
// no device is known to accept. Each device has to be named.
func (r *Rekeyer) TryRekey(ids []home.DeviceID) error {
	if len(ids) == 0 {
		return &home.Error{
			Op: "try to rekey", Err: errors.New("no device is named"), Hint: "name each device that is to be tried",
		}
	}
	if err := r.bound("rekey", "bind it first, with: rekeyd bind "+string(ids[0]), ids); err != nil {
		return err
	}
	if err := r.o.Ledger.Retry(ids, false); err != nil {
		return err
	}
	for _, id := range ids {
		r.with(id, func(m *memory) {
			m.try, m.unrecorded = true, 0
			r.schedule(id, time.Now())
		})
	}
	return nil
}

// takeTry reports whether the owner ordered a try. An order is for one move.
func (r *Rekeyer) takeTry(id home.DeviceID) (ordered bool) {
	r.with(id, func(m *memory) { ordered, m.try = m.try, false })
	return ordered
}

// notOrdered is the trouble of a device that is moved by order only.
func notOrdered(d home.Device) error {
	return &home.Error{
		Op: "rekey", Device: d.ID, Err: errors.New("no command is known that gives it another password"),
		Hint: orderIt(cmp.Or(d.Name, string(d.ID))),
	}
}

func orderIt(name string) string {
	return "turn on Third-Party Compatibility in its app; if it is on, change its password there, " +
		"or try with: rekeyd rekey --try " + home.InCommand(name)
}
