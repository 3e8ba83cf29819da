package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// platform is what a binary is built for.
type platform struct {
	name string
	env  []string
	aim  int64 // bytes; 0 for none
}

var platforms = []platform{
	{"linux/amd64", []string{"GOARCH=amd64"}, 0},
	{"linux/arm, GOARM=6", []string{"GOARCH=arm", "GOARM=6"}, 0},
	{"linux/arm64", []string{"GOARCH=arm64"}, 0},
	{"linux/mipsle, softfloat", []string{"GOARCH=mipsle", "GOMIPS=softfloat"}, 12_000_000},
}

// size builds the binary for each platform, as `make build` does.
func size(ctx context.Context, o options) ([]table, error) {
	t := table{title: "Size of the binary, stripped", columns: []string{"platform", "MB", "aim"}}
	dir, err := os.MkdirTemp(o.dir, "rekeyd-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, p := range platforms {
		file := filepath.Join(dir, "rekeyd")
		if err := build(ctx, file, p.env...); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		st, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		aim := ""
		if p.aim != 0 {
			aim = fmt.Sprintf("under %d: %s", p.aim/1_000_000, verdict(st.Size() < p.aim))
		}
		t.row(p.name, megabytes(int(st.Size())), aim)
	}
	t.notef("CGO_ENABLED=0, -trimpath, -ldflags \"-s -w\". A MB is 1,000,000 bytes.")
	return []table{t}, nil
}

// build builds rekeyd as it is released. The working directory is in this module.
func build(ctx context.Context, file string, env ...string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, "github.com/rekeyd/rekeyd/cmd/rekeyd")
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "missed"
}
