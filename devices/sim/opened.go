package sim

import (
	"slices"
	"sync"
)

// opened receives the requests of one device, as they came and again after the device has decrypted them, and keeps the
// methods that it ran. A nil one drops them.
type opened struct {
	mu       sync.Mutex // guards the fields below
	to       func(request []byte)
	commands []string
}

// add hands over one request, or the part of one that was sealed once more.
func (o *opened) add(request []byte) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.to != nil {
		o.to(request)
	}
}

// ran records a method that a signed-in client had the device run.
func (o *opened) ran(method string) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.commands = append(o.commands, method)
}

// Commands returns the methods that signed-in clients had the device run, in order. Native devices, and those of port
// 9999, record none.
func (d *Device) Commands() []string {
	d.spec.opened.mu.Lock()
	defer d.spec.opened.mu.Unlock()
	return slices.Clone(d.spec.opened.commands)
}

// Opened has the device hand each request to a function, as it came and decrypted, before it answers; nil ends that. A
// test searches what was sent to the device inside of a session, too. Native devices, and those of port 9999, hand over
// nothing.
func (d *Device) Opened(to func(request []byte)) {
	d.spec.opened.mu.Lock()
	defer d.spec.opened.mu.Unlock()
	d.spec.opened.to = to
}
