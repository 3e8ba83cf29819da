package devices

import (
	"net/netip"
	"slices"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// groups returns the keys that may change hands with those touched: all that hang together by any sighting, disputed
// or not.
func (r *Roster) groups(touched map[string]bool) [][]string {
	var all [][]string
	done := map[string]bool{}
	for start := range touched {
		if done[start] || r.keys[start] == nil {
			continue
		}
		done[start] = true
		group := []string{start}
		for i := 0; i < len(group); i++ {
			for name := range r.keys[group[i]].faces {
				for _, k := range r.faces[name].Keys {
					if !done[k] {
						done[k] = true
						group = append(group, k)
					}
				}
			}
		}
		all = append(all, group)
	}
	return all
}

// rebuild makes the devices of a group anew. It adds the roots of all that may look different now to roots.
func (r *Roster) rebuild(group []string, roots map[string]bool) {
	slices.SortFunc(group, compareKeys) // parents come before what belongs to them
	old := map[string]bool{}
	for _, k := range group {
		x := r.keys[k]
		if x.root != "" {
			old[x.root] = true
		}
		x.root = r.rootOf(k, x)
	}
	for root := range old {
		if d := r.devs[root]; d != nil {
			r.place(d, roots, false)
			delete(r.devs, root)
		}
	}
	made := map[string]*device{}
	of := func(root string) *device {
		if made[root] == nil {
			made[root] = &device{root: root}
		}
		return made[root]
	}
	seen := map[string]bool{}
	for _, k := range group {
		x := r.keys[k]
		if len(x.faces) == 0 {
			delete(r.keys, k)
			delete(r.ids, idOf(k))
			continue
		}
		if x.root != "" {
			of(x.root).keys = append(of(x.root).keys, k)
		}
		for name := range x.faces {
			if f := r.faces[name]; f.Keys[0] == k && !seen[name] {
				seen[name] = true
				d := of(x.root)
				d.faces = append(d.faces, name)
				d.spoken = d.spoken || f.Protocol != ""
				if r.here(f) {
					d.addrs = append(d.addrs, addrsOf(f.Sighting)...)
				}
			}
		}
	}
	for root, d := range made {
		if len(d.faces) == 0 {
			continue
		}
		slices.Sort(d.faces)
		slices.SortFunc(d.addrs, netip.Addr.Compare)
		d.addrs = slices.Compact(d.addrs)
		r.devs[root] = d
		r.place(d, roots, true)
	}
}

// rootOf decides to which device a key belongs; the roots of stronger keys are decided already.
func (r *Roster) rootOf(k string, x *key) string {
	root := ""
	disputed := len(x.parents) > maxParents
	for p := range x.parents {
		pk := r.keys[p]
		switch {
		case pk == nil || pk.root == "" || len(pk.faces) == 0:
		case root == "":
			root = pk.root
		case root != pk.root:
			disputed = true
		}
	}
	if root != "" && !disputed {
		return root
	}
	for name := range x.faces {
		if r.faces[name].Keys[0] == k {
			return k
		}
	}
	return ""
}

// addrsOf returns all addresses of a sighting.
func addrsOf(s home.Sighting) []netip.Addr {
	all := slices.Clone(s.Addrs)
	if s.Addr.IsValid() {
		all = append(all, s.Addr.Addr())
	}
	return all
}
