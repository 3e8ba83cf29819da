//go:build unix

package sim

import "syscall"

// share lets several sockets of this machine receive the same broadcasts.
func share(fd uintptr) error {
	return syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
}
