//go:build !nodemo

package main

import (
	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/demo"
)

// play returns the commands that simulate a house, and the one that checks a maker's device. This file is the only one that imports them: a build with the tag
// nodemo, for routers, is without the demo and the simulator.
func play() []*cobra.Command { return append(demo.Commands(), newCheckDevice()) }
