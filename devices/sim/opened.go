package sim

import "sync"

// opened receives the requests of one device as the device reads them, after it has decrypted them. A nil one drops
// them.
type opened struct {
	mu sync.Mutex // guards to
	to func(request []byte)
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

// Opened has the device hand each request to a function, decrypted, before it answers; nil ends that. A test of a driver
// searches what the driver sent inside of its sessions. Native devices hand over nothing.
func (d *Device) Opened(to func(request []byte)) {
	d.spec.opened.mu.Lock()
	defer d.spec.opened.mu.Unlock()
	d.spec.opened.to = to
}
