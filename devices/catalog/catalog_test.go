package catalog_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/catalog"
)

// noBudget is a budget that nothing is taken from.
type noBudget struct{}

func (noBudget) Spend(home.DeviceID) error   { return home.ErrBudget }
func (noBudget) Good(home.DeviceID) error    { return nil }
func (noBudget) Refused(home.DeviceID) error { return nil }

// noMemory keeps nothing.
type noMemory struct{}

func (noMemory) SignIns(home.DeviceID) (home.SignIns, error)   { return home.SignIns{}, nil }
func (noMemory) SaveSignIns(home.DeviceID, home.SignIns) error { return nil }

func TestEveryProtocolHasADriver(t *testing.T) {
	all, err := catalog.New(catalog.Options{Hub: &wire.Identity{}, Budget: noBudget{}, Memory: noMemory{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range home.Protocols() {
		if all[row.Name] == nil {
			t.Errorf("protocol %q has no driver: add it in devices/catalog/catalog.go", row.Name)
		}
	}
	for p := range all {
		if p.Info().Name != p {
			t.Errorf("protocol %q has no row: add it in daemon/home/protocols.go", p)
		}
	}
	if _, err := catalog.New(catalog.Options{}); err == nil {
		t.Error("drivers without identity and budget")
	}
}

// Every package of the list has tests that use the suite.
func TestEveryDriverPassesTheSuite(t *testing.T) {
	const module = "github.com/rekeyd/rekeyd/devices/"
	checked := 0
	for _, path := range goList(t, `{{join .Imports "\n"}}`, ".") {
		name, ok := strings.CutPrefix(path, module)
		if !ok || name == "keyring" {
			continue
		}
		checked++
		tests := goList(t, `{{join .TestImports "\n"}}{{"\n"}}{{join .XTestImports "\n"}}`, path)
		if !slices.Contains(tests, module+"drivertest") {
			t.Errorf("devices/%s: no test calls drivertest.Run", name)
		}
	}
	if checked < 6 {
		t.Errorf("%d driver packages", checked)
	}
}

func goList(t *testing.T, format, pkg string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", format, pkg).Output()
	if err != nil {
		t.Fatalf("go list %s: %v", pkg, err)
	}
	return strings.Fields(string(out))
}
