package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/devices/sim"
)

// blocks returns the fenced blocks of the README.
func blocks(t *testing.T) []string {
	t.Helper()
	raw, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(raw), "\n```")
	if len(parts)%2 == 0 {
		t.Fatal("README.md has a block that does not end")
	}
	var bs []string
	for i := 1; i < len(parts); i += 2 {
		bs = append(bs, parts[i])
	}
	return bs
}

func TestREADMEOpensWithTwoCommandsThatMakeKnows(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(blocks(t)[0]) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "make" {
			got = append(got, fields[1])
			if !strings.Contains("\n"+string(makefile), "\n"+fields[1]+":") {
				t.Errorf("make knows no %s", fields[1])
			}
		}
	}
	if !slices.Equal(got, []string{"demo", "test"}) {
		t.Errorf("README.md opens with %q", got)
	}
	ci, err := os.ReadFile("../../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	// check calls test.
	for _, target := range []string{"check", "demo"} {
		if !strings.Contains(string(ci), "\nmake "+target) {
			t.Errorf(".ci/run does not call make %s", target)
		}
	}
}

// readmeCommands returns the commands in the blocks of the README, without the name of the program.
func readmeCommands(t *testing.T) []string {
	t.Helper()
	comment := regexp.MustCompile(`\s+#.*$`)
	var found []string
	for _, b := range blocks(t) {
		for line := range strings.Lines(b) {
			line = strings.TrimPrefix(comment.ReplaceAllString(strings.TrimSpace(line), ""), "sudo ")
			if words, ok := strings.CutPrefix(line, "rekeyd "); ok {
				found = append(found, words)
			}
		}
	}
	if len(found) < 6 {
		t.Errorf("only %d commands found: is the README still what this test reads?", len(found))
	}
	return found
}

func TestEveryCommandIsInTheREADME(t *testing.T) {
	raw, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	flag := regexp.MustCompile("`(--[a-z-]+)")
	known := map[string]bool{}
	all := newRoot().Commands()
	for _, c := range all {
		all = append(all, c.Commands()...)
	}
	for _, c := range all {
		if !c.Hidden && c.Name() != "help" && c.Name() != "completion" &&
			!strings.Contains(string(raw), "`"+strings.TrimPrefix(c.CommandPath(), "rekeyd ")+"`") &&
			!c.HasSubCommands() {
			t.Errorf("README.md does not name %s", c.Name())
		}
		for _, m := range flag.FindAllStringSubmatch(string(raw), -1) {
			if c.Flag(m[1][2:]) != nil {
				known[m[1]] = true
			}
		}
	}
	for _, m := range flag.FindAllStringSubmatch(string(raw), -1) {
		if !known[m[1]] {
			t.Errorf("README.md names %s, which no command has", m[1])
		}
	}
}

func TestTheHouseInTheREADMECanBeSimulated(t *testing.T) {
	for _, b := range blocks(t) {
		if house, ok := strings.CutPrefix(b, "json\n"); ok {
			if _, err := sim.ReadHouse(strings.NewReader(house)); err != nil {
				t.Error(err)
			}
			return
		}
	}
	t.Error("there is no house in README.md")
}
