package sim_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// simulatedRow is a row of the table of simulated protocols in README.md: protocols, kinds, port, defects.
var simulatedRow = regexp.MustCompile(
	"(?m)^\\| (`[a-z0-9-]+`(?:, `[a-z0-9-]+`)*) \\| ([a-z, ]+) \\| (\\d+) \\| ([a-z0-9, -]*) ?\\|$",
)

// The table in README.md lists every protocol that is played, with its port, and every kind and defect that it takes.
func TestReadmeListsTheSimulatedProtocols(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("defects.go")
	if err != nil {
		t.Fatal(err)
	}
	defects := regexp.MustCompile(`Defect = "([^"]+)"`).FindAllStringSubmatch(string(source), -1)
	listed := func(text string) []string {
		if text = strings.TrimSpace(strings.ReplaceAll(text, "`", "")); text == "" {
			return nil
		}
		return strings.Split(text, ", ")
	}
	var seen []string
	for _, row := range simulatedRow.FindAllStringSubmatch(string(readme), -1) {
		for _, p := range listed(row[1]) {
			seen = append(seen, p)
			if port := home.Protocol(p).Port(); row[3] != strconv.Itoa(int(port)) {
				t.Errorf("%s: README.md has port %s, the table of protocols %d", p, row[3], port)
			}
			kinds := listed(row[2])
			if row[2] == "any" {
				kinds = []string{"camera", "plug", "switch", "bulb", "other"}
			}
			for _, k := range []string{"camera", "plug", "switch", "bulb"} {
				for _, d := range append(listed(row[4]), "") {
					spec := fmt.Sprintf(`[{"kind":%q,"protocol":%q}]`, k, p)
					if d != "" {
						spec = fmt.Sprintf(`[{"kind":%q,"protocol":%q,"defects":[%q]}]`, k, p, d)
					}
					if _, err := sim.ReadHouse(strings.NewReader(spec)); (err == nil) != slices.Contains(kinds, k) {
						t.Errorf("README.md has the kinds %q for %s, but %s: %v", kinds, p, spec, err)
					}
				}
			}
			for _, d := range defects {
				spec := fmt.Sprintf(`[{"kind":%q,"protocol":%q,"defects":[%q]}]`, kinds[0], p, d[1])
				if _, err := sim.ReadHouse(strings.NewReader(spec)); err == nil && !slices.Contains(listed(row[4]), d[1]) {
					t.Errorf("%s takes the defect %s, which README.md does not list", p, d[1])
				}
			}
		}
	}
	var played []string
	for _, row := range home.Protocols() {
		_, err := sim.ReadHouse(
			strings.NewReader(
				fmt.Sprintf(`[{"kind":"plug","protocol":%q},{"kind":"camera","protocol":%q}]`, row.Name, row.Name),
			),
		)
		if err == nil || !strings.Contains(err.Error(), "device 1") || !strings.Contains(err.Error(), "device 2") {
			played = append(played, string(row.Name))
		}
	}
	if slices.Sort(seen); !slices.Equal(seen, played) {
		t.Errorf("README.md lists %q, simulated are %q", seen, played)
	}
}
