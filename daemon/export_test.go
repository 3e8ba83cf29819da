package daemon

// Hold takes the engine's lock, as a bug would, and returns a function that releases it.
func (r *Rekeyer) Hold() (release func()) {
	r.mu.Lock()
	return r.mu.Unlock
}
