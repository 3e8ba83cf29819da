package app

import (
	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// states returns the states of all bound devices, which the link publishes after each connect.
func (h *Hub) states() []cloudlink.DeviceState {
	_, rows, err := h.engine.House()
	if err != nil {
		h.o.Log.Error("states not read", "err", err)
	}
	var states []cloudlink.DeviceState
	for _, r := range rows {
		if r.Bound {
			states = append(states, stateOfRow(r))
		}
	}
	return states
}

// stateOfRow returns the published state of a device: no e-mail address, no address, no secret.
func stateOfRow(r daemon.Row) cloudlink.DeviceState {
	return cloudlink.DeviceState{
		ID: string(
			r.ID,
		), Name: r.Name, Kind: string(r.Kind), Verdict: string(r.Verdict), Epoch: uint64(r.Epoch), Since: r.Since,
	}
}

// publish publishes a row that has changed. A row that cannot be published now is published after the next connect. The topic
// of a device that is not bound (any more) is cleared. One that has no known password any more may have it from the
// vendor's app.
func (h *Hub) publish(r daemon.Row) {
	if r.Bound && r.Verdict == home.Mismatch {
		h.vendor.Check()
	}
	switch {
	case r.Bound:
		_ = h.link.Publish(stateOfRow(r))
	case r.Protocol != "":
		_ = h.link.Publish(cloudlink.DeviceState{ID: string(r.ID)})
	}
	h.site.Changed()
	if h.publisher != nil {
		h.publisher.Changed()
	}
	if h.o.Changed != nil {
		h.o.Changed(r)
	}
}
