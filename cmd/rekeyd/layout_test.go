package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/rekeyd/rekeyd/"

// may is who may import whom, tests left out: a package, and what of this module it imports. Imports run one way.
var may = map[string][]string{
	"daemon/home":           {},
	"daemon/page":           {"daemon/home"},
	"daemon":                {"daemon/home"},
	"daemon/homeassistant":  {"daemon/home", "daemon"},
	"localstore/boltfile":   {"daemon/home"},
	"localstore/atomicfile": {},
	"localstore/seal":       {"daemon/home", "localstore/atomicfile"},
	"localstore/backup":     {"daemon/home"},
	"localstore":            {"daemon/home", "localstore/boltfile", "localstore/seal"},

	"cloudlink/wire":     {"daemon/home"},
	"cloudlink/pin":      {},
	"cloudlink/mqtt":     {"daemon/home", "cloudlink/pin"},
	"cloudlink/v1":       {"daemon/home", "cloudlink/pin"},
	"cloudlink/tplink":   {"daemon/home", "cloudlink/v1"},
	"cloudlink/pairing":  {"daemon/home", "cloudlink/wire"},
	"cloudlink":          {"daemon/home", "cloudlink/wire", "cloudlink/mqtt", "cloudlink/pairing", "cloudlink/pin"},
	"cloudlink/announce": {},
	"cloudlink/device": {
		"daemon/home", "cloudlink", "cloudlink/announce", "cloudlink/wire", "cloudlink/mqtt", "localstore/atomicfile",
	},
	"cloudlink/broker": {"daemon/home", "cloudlink/wire", "localstore/atomicfile"},
	// The account service: terms and use cases in the middle, and around them the stores and the ends, which do not know
	// one another.
	"cloudlink/account/language": {},
	"cloudlink/account/mail":     {"daemon/home", "cloudlink/account/language", "localstore/atomicfile"},
	"cloudlink/account": {
		"daemon/home",
		"cloudlink/account/mail",
		"cloudlink/wire",
		"cloudlink/mqtt",
		"cloudlink/pairing",
		"cloudlink/v1",
	},
	"cloudlink/account/api": {
		"daemon/home",
		"cloudlink/v1",
		"cloudlink/wire",
		"cloudlink/account",
		"cloudlink/account/language",
	},
	"cloudlink/account/link": {"daemon/home", "cloudlink/v1", "cloudlink/wire", "cloudlink/mqtt", "cloudlink/account"},
	// The pages of the account look as those of the house do.
	"cloudlink/account/site": {"daemon/home", "daemon/page", "cloudlink/v1", "cloudlink/account", "cloudlink/account/language"},
	// Its store keeps a file with the same care as the hub's: it shares the two leaves that know neither.
	"cloudlink/account/boltstore": {
		"daemon/home",
		"cloudlink/wire",
		"cloudlink/account",
		"cloudlink/account/mail",
		"localstore/boltfile",
		"localstore/seal",
	},
	"cloudlink/account/server": {
		"cloudlink/account", "cloudlink/account/api", "cloudlink/account/link", "cloudlink/account/mail",
		"cloudlink/account/site",
	},

	"devices":               {"daemon/home"},
	"devices/discover":      {"daemon/home", "devices/cbc", "devices/nameplate", "devices/xor"},
	"devices/cbc":           {},
	"devices/xor":           {},
	"devices/nameplate":     {"daemon/home"},
	"devices/failure":       {"daemon/home"},
	"devices/keyring":       {"daemon/home", "devices/failure"},
	"devices/post":          {"daemon/home"},
	"devices/klap":          {"daemon/home", "devices/cbc", "devices/failure", "devices/keyring", "devices/post"},
	"devices/passthrough":   {"daemon/home", "devices/cbc", "devices/failure", "devices/post"},
	"devices/tpap/ccm":      {},
	"devices/tpap/record":   {"devices/tpap/ccm"},
	"devices/tpap/shacrypt": {},
	"devices/tpap/spake2":   {},
	// Drivers, all but the one below: those that devices/catalog lists.
	"devices/<protocol>": {
		"daemon/home", "devices/cbc", "devices/failure", "devices/keyring", "devices/klap", "devices/nameplate",
		"devices/passthrough",
		"devices/post", "devices/xor",
		"devices/tpap/ccm", "devices/tpap/record", "devices/tpap/shacrypt", "devices/tpap/spake2",
	},
	"devices/catalog": {"daemon/home", "cloudlink/wire", "devices/keyring", "devices/post"},
	// The driver of devices that speak the link, and the devices that are simulated: both speak it.
	"devices/native":       {"daemon/home", "cloudlink/wire", "devices/failure"},
	"devices/native/check": {"daemon/home", "cloudlink/wire"},
	"devices/sim": {
		"daemon/home",
		"devices/cbc",
		"devices/xor",
		"devices/tpap/record",
		"devices/tpap/shacrypt",
		"devices/tpap/spake2",
		"cloudlink/device",
	},
}

// anything lists the packages that may import all others: the program itself, and packages for tests and benchmarks.
var anything = []string{
	"cmd/rekeyd",
	"cloudlink/npmtest", "daemon/homeassistant/hatest", "cloudlink/account/storetest",
	"devices/drivertest", "localstore/disktest",
	"devices/tpap/vectors",
	"devices/discover/nettest",
	"devices/discover/discovertest",
}

// TestMakersImportASmallPackage holds that a device brings along no part of the daemon.
func TestMakersImportASmallPackage(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "./devices/native/testdata/camera")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		pkg := strings.TrimSpace(line)
		own, ours := strings.CutPrefix(pkg, module)
		small := strings.HasPrefix(own, "cloudlink") && !strings.HasPrefix(own, "cloudlink/account") ||
			strings.HasPrefix(own, "devices/native/testdata") || own == "daemon/home" || own == "localstore/atomicfile"
		if ours && !small || pkg == "go.etcd.io/bbolt" || strings.HasPrefix(pkg, "github.com/mochi-mqtt") {
			t.Errorf("a maker's device has %s", pkg)
		}
	}
}

// TestOneStoreOfTheAccountServiceKnowsBbolt holds that a second store is a second folder.
func TestOneStoreOfTheAccountServiceKnowsBbolt(t *testing.T) {
	cmd := exec.Command(
		"go",
		"list",
		"-f",
		"{{.ImportPath}} {{join .Imports \" \"}} {{join .TestImports \" \"}} {{join .XTestImports \" \"}}",
		"./cloudlink/...",
	)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var know []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if slices.Contains(fields[1:], "go.etcd.io/bbolt") {
			know = append(know, strings.TrimPrefix(fields[0], module))
		}
	}
	if !slices.Equal(know, []string{"cloudlink/account/boltstore"}) {
		t.Errorf("these packages import bbolt: %v", know)
	}
}

// anyDriver is the row of the table and of the map for every driver that has none of its own.
const anyDriver = "devices/<protocol>"

// driversOf returns the packages of drivers: what devices/catalog imports.
func driversOf(pkgs map[string][]string) []string {
	return slices.DeleteFunc(slices.Clone(pkgs["devices/catalog"]), func(p string) bool {
		return !strings.HasPrefix(p, "devices/") || p == "devices/keyring"
	})
}

func TestImportsRunOneWay(t *testing.T) {
	all := packages(t)
	for pkg, imports := range all {
		if slices.ContainsFunc(anything, func(a string) bool { return pkg == a || strings.HasPrefix(pkg, a+"/") }) {
			continue
		}
		allowed, known := may[pkg]
		if !known && slices.Contains(driversOf(all), pkg) {
			allowed, known = may[anyDriver], true
		}
		if pkg == "devices/catalog" { // a new driver is a line there, and none here
			allowed = slices.Concat(allowed, driversOf(all))
		}
		if !known {
			t.Errorf("package %s is not in the table of who may import whom: which room does it belong to?", pkg)
		}
		for _, i := range imports {
			if !slices.Contains(allowed, i) {
				t.Errorf("%s imports %s", pkg, i)
			}
		}
	}
}

// packages returns this module's packages with what of this module they import.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	pkgs := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		pkgs[pkg] = nil
		for _, f := range fields[1:] {
			if i, ok := strings.CutPrefix(f, module); ok {
				pkgs[pkg] = append(pkgs[pkg], i)
			}
		}
	}
	return pkgs
}

// The map in README.md names folders as "`name/`".
var mapLine = regexp.MustCompile("(?m)^\\| `([a-z0-9/<>]+)/` \\|")

func TestTheMapIsTrueBothWays(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, m := range mapLine.FindAllStringSubmatch(string(readme), -1) {
		named = append(named, m[1])
		if st, err := os.Stat(filepath.Join("../..", m[1])); m[1] != anyDriver && (err != nil || !st.IsDir()) {
			t.Errorf("README.md names the folder %s, which is not there", m[1])
		}
	}
	all := packages(t)
	for pkg := range all {
		if slices.Contains(named, anyDriver) && slices.Contains(driversOf(all), pkg) {
			continue
		}
		if !slices.Contains(named, pkg) &&
			!slices.ContainsFunc(
				named, func(n string) bool { return strings.HasPrefix(pkg, n+"/") && slices.Contains(anything, pkg) },
			) {
			t.Errorf("README.md does not name %s", pkg)
		}
	}
	top, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		".ci",
		".git",
		".gitignore",
		"BENCHMARKS.md",
		"LICENSE",
		"Makefile",
		"README.md",
		"RELIABILITY.md",
		"SECURITY.md",
		"cloudlink",
		"cmd",
		"daemon",
		"devices",
		"go.mod",
		"go.sum",
		"localstore",
		"bin",
	}
	for _, e := range top {
		if !slices.Contains(want, e.Name()) {
			t.Errorf("%s stands at the top", e.Name())
		}
	}
}
