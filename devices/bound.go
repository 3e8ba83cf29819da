package devices

import (
	"slices"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// bound is the set of bound devices. A bound device keeps its ID, whatever other keys it is seen
// with later; the roster recognises it by any of the keys that it was recorded with.
type bound struct {
	keys  map[home.DeviceID][]string // strongest first
	owner map[string]home.DeviceID   // by key
}

// Bind replaces the set of bound devices. Their records count as sightings from the disk, which are never forgotten:
// a device that was not sighted otherwise is known, and absent.
func (r *Roster) Bind(list []home.Device) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := bound{map[home.DeviceID][]string{}, map[string]home.DeviceID{}}
	var records []home.Sighting
	list = sorted(slices.Clone(list)) // the same key in two records counts for the same one at every start
	for _, d := range list {
		keys := cleanKeys(d.Keys)
		next.keys[d.ID] = keys
		for _, k := range keys {
			if _, taken := next.owner[k]; !taken {
				next.owner[k] = d.ID
			}
		}
		record := home.Sighting{
			Source: onDisk, Protocol: d.Protocol, Keys: keys, Name: d.Name, Kind: d.Kind, Model: d.Model, Addr: d.Addr,
			Owner: d.Owner, At: d.Seen,
		}
		if len(keys) > 0 && r.faces[faceName(record)] == nil {
			records = append(records, record)
		}
	}
	renamed := map[string]bool{} // roots
	for _, owner := range []map[string]home.DeviceID{r.bound.owner, next.owner} {
		for k := range owner {
			if x := r.keys[k]; x != nil && x.root != "" && r.bound.owner[k] != next.owner[k] {
				renamed[x.root] = true
			}
		}
	}
	r.bound = next
	r.see(records)
	r.report(renamed)
}

// idOf returns the ID of the device that is shown for ds, with these keys, strongest first: that of the bound device
// that it is, else the name of its strongest key.
func (r *Roster) idOf(keys []string, ds []*device) home.DeviceID {
	for _, k := range keys {
		id, ok := r.bound.owner[k]
		if !ok {
			continue
		}
		if root := r.holder(id); slices.ContainsFunc(ds, func(d *device) bool { return d.root == root }) {
			return id
		}
	}
	id := idOf(keys[0])
	if _, taken := r.bound.keys[id]; taken { // by a bound device whose stronger key is seen elsewhere
		id += "-" + home.DeviceID(short(keys[0]))
	}
	return id
}

// holder returns the root of the device that has the strongest undisputed key of a bound one.
func (r *Roster) holder(id home.DeviceID) string {
	for _, k := range r.bound.keys[id] {
		if x := r.keys[k]; x != nil && x.root != "" {
			return x.root
		}
	}
	return ""
}
