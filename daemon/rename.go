package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Rename gives a bound device a name of its owner's choice, which stands in the place of its own at this hub until it
// is unbound; an empty one takes that back. A name that another device answers to is refused: names lead to one device.
func (r *Rekeyer) Rename(id home.DeviceID, name string) error {
	const op = "rename"
	name = strings.TrimSpace(name)
	switch {
	case !utf8.ValidString(name) || Clean(name, len(name)) != name:
		return &home.Error{
			Op: op, Device: id, Err: errors.New("the name has a control character, a direction override or several blanks"),
			Hint: "type the name without",
		}
	case utf8.RuneCountInString(name) > maxLabel:
		return &home.Error{
			Op: op, Device: id, Err: fmt.Errorf("the name is longer than %d characters", maxLabel), Hint: "choose a shorter one",
		}
	}
	if name != "" {
		_, rows, err := r.House()
		if err != nil {
			return err
		}
		for _, other := range rows {
			if other.ID != id && (other.answersTo(name) || string(other.ID) == name) {
				return &home.Error{
					Op: op, Device: id, Err: errors.New("another device has that name"), Hint: "choose another name",
				}
			}
		}
	}
	if err := r.bound(op, "bind it first, with: rekeyd bind "+string(id), []home.DeviceID{id}); err != nil {
		return err
	}
	if err := r.o.Ledger.Rename(id, name); err != nil {
		return err
	}
	r.reports.add(id)
	return nil
}

// nameOf returns the name of a device for the log: its owner's, its own or the announced one, cleaned.
func (r *Rekeyer) nameOf(d home.Device) string {
	name := d.Name
	r.with(d.ID, func(m *memory) { name = cmp.Or(m.identity.Name, name) })
	if b, err := r.o.Ledger.Binding(d.ID); err == nil {
		name = cmp.Or(b.Name, name)
	}
	return Clean(name, maxLabel)
}

// Forget removes devices that are gone from the list. A bound one is unbound, and found anew should it come back. A
// device that is here is refused: it would be listed again at once.
func (r *Rekeyer) Forget(ids []home.DeviceID) error {
	for _, id := range ids {
		known := false
		r.with(id, func(*memory) { known = true })
		switch {
		case !known:
			return notFound("forget", id)
		case r.o.Roster.Here(id):
			err := &home.Error{Op: "forget", Device: id, Err: errors.New("it is here, and would be listed again at once")}
			if _, no := r.o.Ledger.Binding(id); no == nil {
				err.Hint = "leave it out with: rekeyd unbind " + string(id)
			}
			return err
		}
	}
	if err := r.o.Ledger.Forget(ids); err != nil {
		return err
	}
	r.o.Wake()
	if _, err := r.reload(); err != nil {
		return err
	}
	r.mu.Lock()
	for _, id := range ids {
		if m := r.memories[id]; m != nil && !m.busy { // else sweep forgets it
			delete(r.memories, id)
			r.due.remove(id)
			r.unbound.remove(id)
		}
	}
	r.mu.Unlock()
	r.reports.add(ids...)
	return nil
}
