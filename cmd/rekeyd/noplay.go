//go:build nodemo

package main

import "github.com/spf13/cobra"

func play() []*cobra.Command { return nil }
