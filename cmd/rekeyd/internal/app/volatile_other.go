//go:build !linux

package app

// Volatile reports whether files below path are lost when the machine restarts. It knows Linux only.
func Volatile(string) bool { return false }
