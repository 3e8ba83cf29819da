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
	name  string
	env   []string
	flags []string // beside those of every build
	aim   int64    // bytes; 0 for none
}

var platforms = []platform{
	{"linux/amd64", []string{"GOARCH=amd64"}, nil, 0},
	{"linux/arm, GOARM=6", []string{"GOARCH=arm", "GOARM=6"}, nil, 0},
	{"linux/arm64", []string{"GOARCH=arm64"}, nil, 0},
	{"linux/mipsle, softfloat", []string{"GOARCH=mipsle", "GOMIPS=softfloat"}, []string{"-gcflags=all=-l", "-tags=nethttpomithttp2,nodemo"}, 12_000_000},
}

// size builds the binary for each platform, as `make dist` does.
func size(ctx context.Context, o options) ([]table, error) {
	t := table{title: "Size of the binary, stripped", columns: []string{"platform", "MB", "aim"}}
	dir, err := os.MkdirTemp(o.dir, "rekeyd-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, p := range platforms {
		file := filepath.Join(dir, "rekeyd")
		if err := build(ctx, file, p.env, p.flags...); err != nil {
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
	t.notef("As `make dist` builds them: CGO_ENABLED=0, -trimpath, -tags nethttpomithttp2, -ldflags \"-s -w\", and for mipsle -gcflags=all=-l and the tag nodemo (no demo, no simulate). " +
		"A MB is 1,000,000 bytes.")
	return []table{t}, nil
}

// build builds rekeyd as it is released. The working directory is in this module.
func build(ctx context.Context, file string, env []string, flags ...string) error {
	args := append([]string{"build", "-trimpath", "-tags", "nethttpomithttp2", "-ldflags", "-s -w", "-o", file}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "github.com/rekeyd/rekeyd/cmd/rekeyd")...)
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
