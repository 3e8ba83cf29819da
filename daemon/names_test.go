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
	rows := []daemon.Row{
		{ID: "mac-1", Name: "lamp"},
		{ID: "mac-2", Name: "Lamp"},
		{ID: "mac-3", Name: "door"},
		{ID: "mac-4", Name: "mac-3"},
	}
	ids, err := daemon.Named(rows, []string{"DOOR", "mac-3", "mac-1"})
	if want := []home.DeviceID{"mac-3", "mac-3", "mac-1"}; err != nil || !slices.Equal(ids, want) {
		t.Errorf("%v, %v; want %v", ids, err, want)
	}
	_, err = daemon.Named(rows, []string{"lamp"})
	if !errors.Is(err, home.ErrNotFound) || !strings.Contains(err.Error(), "mac-1") ||
		!strings.Contains(err.Error(), "mac-2") ||
		home.HintOf(err) == "" {
		t.Errorf("a shared name: %v", err)
	}
	rows = append(
		rows,
		daemon.Row{ID: "mdns-7", Addr: "10.0.0.7:443", MAC: "50c7bf010203"},
		daemon.Row{ID: "mdns-8", Addr: "10.0.0.8:80"},
		daemon.Row{ID: "mdns-9", Addr: "10.0.0.8:81"},
	)
	for name, want := range map[string]home.DeviceID{
		"10.0.0.7": "mdns-7", "10.0.0.8:81": "mdns-9",
		"50:C7:BF:01:02:03": "mdns-7",
	} {
		if ids, err := daemon.Named(rows, []string{name}); err != nil || !slices.Equal(ids, []home.DeviceID{want}) {
			t.Errorf("%s: %v, %v", name, ids, err)
		}
	}
	if _, err = daemon.Named(rows, []string{"10.0.0.8"}); !errors.Is(err, home.ErrNotFound) ||
		!strings.Contains(err.Error(), "mdns-8 and mdns-9") {
		t.Errorf("a shared address: %v", err)
	}
	if _, err = daemon.Named(rows, []string{""}); !errors.Is(err, home.ErrNotFound) {
		t.Errorf("no name: %v", err)
	}
	if _, err = daemon.Named(rows, []string{"cellar"}); !errors.Is(err, home.ErrNotFound) || home.HintOf(err) == "" {
		t.Errorf("an unknown name: %v", err)
	}
	if _, err = daemon.Named(rows, []string{"dorr"}); !strings.Contains(home.HintOf(err), "did you mean door?") {
		t.Errorf("a misspelled name: %s", home.HintOf(err))
	}
	rows = []daemon.Row{{ID: "mac-1", Name: "front\x1b[31m  door\u202e"}}
	if ids, err := daemon.Named(rows, []string{"Front[31m door"}); err != nil || len(ids) != 1 {
		t.Errorf("the name as it is shown: %v, %v", ids, err)
	}
}
