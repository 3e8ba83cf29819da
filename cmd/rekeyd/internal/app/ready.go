package app

import "context"

// listeners returns all listeners of the hub, and of the account service in the same process.
func (h *Hub) listeners() []*Listener {
	ls := []*Listener{h.page, h.control}
	if h.o.Service != nil {
		ls = append(ls, h.o.Service.listener)
		if h.o.Service.brokerListener != nil {
			ls = append(ls, h.o.Service.brokerListener)
		}
	}
	return ls
}

// Serving returns a channel that is closed once every listener has been opened; never after ctx has ended.
func (h *Hub) Serving(ctx context.Context) <-chan struct{} {
	serving := make(chan struct{})
	go func() {
		for _, l := range h.listeners() {
			select {
			case <-l.opened:
			case <-ctx.Done():
				return
			}
		}
		close(serving)
	}()
	return serving
}

// Waiting returns the listeners that have not been opened yet, each as its name and address.
func (h *Hub) Waiting() []string {
	var waiting []string
	for _, l := range h.listeners() {
		select {
		case <-l.opened:
		default:
			waiting = append(waiting, l.name+" ("+l.addr+")")
		}
	}
	return waiting
}
