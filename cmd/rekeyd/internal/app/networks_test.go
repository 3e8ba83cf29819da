package app

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// badNetworks are the ways in which a broker and the way to it fail. Each begins at once and lasts until end is called.
var badNetworks = []struct {
	name  string
	begin func(*fakeHouse) (end func())
}{
	{"broker dies and loses its state", func(h *fakeHouse) func() {
		h.stopBroker()
		return h.startBroker
	}},
	{"broker refuses", func(h *fakeHouse) func() {
		end := h.worsen(condition{refuse: true})
		h.net.line.cut()
		return end
	}},
	{"broker is mute", func(h *fakeHouse) func() { return h.worsen(condition{mute: true}) }},
	{"packets are lost", func(h *fakeHouse) func() { return h.worsen(condition{lost: true}) }},
	{"packets are late by two seconds", func(h *fakeHouse) func() { return h.worsen(condition{delay: 2 * time.Second}) }},
	{"two kilobytes a second", func(h *fakeHouse) func() { return h.worsen(condition{rate: 2000}) }},
	{"broker cuts every ten seconds", func(h *fakeHouse) func() {
		stop, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for {
				h.net.line.cut()
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Second):
				}
			}
		}()
		return func() { close(stop); <-ended }
	}},
}

func (h *fakeHouse) worsen(c condition) (end func()) {
	h.net.line.set(c)
	return func() { h.net.line.set(condition{}) }
}

// settledAt reports whether the hub has the epoch, its link is up, and each device of the account that is on is current.
func (h *fakeHouse) settledAt(e home.Epoch) bool {
	a, err := h.hub.store.Account()
	h.must(err)
	if up, _ := h.hub.link.State(); !up || a.Epoch < e {
		return false
	}
	bs, err := h.hub.store.Bindings()
	h.must(err)
	for _, b := range bs {
		if u := h.unitOf(b.Device); u != nil && u.dev.On() && !b.Current(e) {
			return false
		}
	}
	return true
}

// The password is reset while the network is bad. When it is good again, the link is up and every device has the newest
// password within three seconds: the limit of five is for a packet that TCP repeats late.
func TestTheLinkRecoversFromABadNetwork(t *testing.T) {
	for _, bad := range badNetworks {
		t.Run(bad.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				h := newFakeHouse(t, dir, 1)
				defer h.close()
				time.Sleep(10 * time.Minute) // until the device that speaks the link itself has joined
				for _, lasts := range []time.Duration{30 * time.Second, 10 * time.Minute} {
					a, err := h.hub.store.Account()
					h.must(err)
					end := bad.begin(h)
					time.Sleep(5 * time.Second)
					h.reset(false)
					time.Sleep(lasts)
					end()
					began := time.Now()
					for !h.settledAt(a.Epoch+1) && time.Since(began) < 10*time.Minute {
						time.Sleep(100 * time.Millisecond)
					}
					took := time.Since(began)
					t.Logf("after %v: recovered in %v", lasts, took)
					if took > 5*time.Second {
						t.Errorf("after %v of this the house recovered in %v", lasts, took)
					}
					time.Sleep(10 * time.Minute)
				}
			})
		})
	}
}
