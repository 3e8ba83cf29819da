package daemon_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestANameThatTwoDevicesShareIsRefusedAndBothAreListed(t *testing.T) {
	rows := []daemon.Row{{ID: "mac-1", Name: "lamp"}, {ID: "mac-2", Name: "Lamp"}, {ID: "mac-3", Name: "door"}, {ID: "mac-4", Name: "mac-3"}}
	ids, err := daemon.Named(rows, []string{"DOOR", "mac-3", "mac-1"})
	if want := []home.DeviceID{"mac-3", "mac-3", "mac-1"}; err != nil || !slices.Equal(ids, want) {
		t.Errorf("%v, %v; want %v", ids, err, want)
	}
	_, err = daemon.Named(rows, []string{"lamp"})
	if !errors.Is(err, home.ErrNotFound) || !strings.Contains(err.Error(), "mac-1") || !strings.Contains(err.Error(), "mac-2") || home.HintOf(err) == "" {
		t.Errorf("a shared name: %v", err)
	}
	if _, err = daemon.Named(rows, []string{"cellar"}); !errors.Is(err, home.ErrNotFound) || home.HintOf(err) == "" {
		t.Errorf("an unknown name: %v", err)
	}
}
