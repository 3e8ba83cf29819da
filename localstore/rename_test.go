package localstore_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// TestANameIsKeptWithTheBinding gives a name, which survives a restart and ends with the binding.
func TestANameIsKeptWithTheBinding(t *testing.T) {
	dir := t.TempDir()
	s := enrolled(t, dir, front, back)
	must(t, s.Rename(front, "porch лампа"))
	observe(t, s, front, at(home.Current, 1))
	if err := s.Rename("mac-unknown", "x"); !errors.Is(err, home.ErrNotFound) {
		t.Errorf("a device that is not bound: %v", err)
	}
	s = reopen(t, s, dir)
	if b, err := s.Binding(front); err != nil || b.Name != "porch лампа" {
		t.Errorf("after a restart: %q, %v", b.Name, err)
	}
	must(t, s.Unbind([]home.DeviceID{front}))
	bind(t, s, front)
	if b, err := s.Binding(front); err != nil || b.Name != "" {
		t.Errorf("after unbinding: %q, %v", b.Name, err)
	}
}

// TestAForgottenDeviceIsNotLeftOut compares it with one that is unbound.
func TestAForgottenDeviceIsNotLeftOut(t *testing.T) {
	s := enrolled(t, t.TempDir(), front, back)
	must(t, s.Forget([]home.DeviceID{front}))
	must(t, s.Unbind([]home.DeviceID{back}))
	out, err := s.LeftOut()
	must(t, err)
	if !slices.Equal(out, device(back).HardwareKeys()) {
		t.Errorf("left out: %q", out)
	}
	if _, err := s.Binding(front); !errors.Is(err, home.ErrNotFound) {
		t.Errorf("the forgotten device: %v", err)
	}
	es, err := s.History(1000)
	must(t, err)
	if !slices.ContainsFunc(es, func(e home.Event) bool { return e.What == "device forgotten" && e.Device == front }) {
		t.Errorf("history: %+v", es)
	}
}
