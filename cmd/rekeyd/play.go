//go:build !nodemo

package main

import "github.com/spf13/cobra"

// play returns the commands that play a house. A router has no use for them: built with the tag nodemo, it goes without.
func play() []*cobra.Command { return []*cobra.Command{newDemo(), newSimulate()} }
