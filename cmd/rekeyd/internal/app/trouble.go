package app

import "github.com/rekeyd/rekeyd/daemon/home"

// troubles returns what stops a part of the hub's work until a person changes it.
func (h *Hub) troubles() []home.Trouble { return h.discovery.Troubles() }
