package daemon

// Hold takes the engine's lock, as a bug would, and returns a function that releases it.
func (r *Rekeyer) Hold() (release func()) {
	r.mu.Lock()
	return r.mu.Unlock
}

// Sizes returns the sizes of the tables and queues that sightings fill. Run must have ended.
func (r *Rekeyer) Sizes() map[string]int {
	return map[string]int{
		"memories": len(r.memories), "bound schedule": len(r.due.at), "bound heap": len(r.due.heap),
		"unbound devices": len(r.unbound.where), "unbound addresses": len(r.unbound.addrs),
		"unbound heaps": len(r.unbound.due[0].heap) + len(r.unbound.due[1].heap),
		"reports":       len(r.reports.ids), "published rows": len(r.reports.published),
	}
}
