package home_test

import (
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestAnotherDeviceIsNotJudgedByRefusals(t *testing.T) {
	dev := home.Device{ID: "mac-1", Keys: []string{"mac:1"}, Owner: "a"}
	kept := home.SignIns{}.For(dev).Refuse(home.NewSecret("one"), noon)
	other, moved, silent := dev, dev, dev
	other.Keys, moved.Owner, silent.Owner = []string{"mac:2"}, "b", ""
	for name, c := range map[string]struct {
		dev  home.Device
		want bool
	}{
		"the same": {dev, true}, "another hardware key": {other, false}, "another owner": {moved, false},
		"no owner": {silent, true},
	} {
		if got := kept.For(c.dev).Refuses(home.NewSecret("one"), noon); got != c.want {
			t.Errorf("%s: refused %v", name, got)
		}
	}
	if kept.Refuses(home.NewSecret("one"), noon.Add(home.RefusedTime)) {
		t.Error("refused after a day")
	}
}
