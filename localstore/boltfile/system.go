package boltfile

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// systemErrors are the causes outside the file, each with its hint for a person.
var systemErrors = []struct {
	errno       syscall.Errno
	cause, hint string
}{
	{syscall.ENOSPC, "the disk is full", "make room on this disk, and run this again"},
	{syscall.EDQUOT, "this user's share of the disk is full", "make room in it, and run this again"},
	{syscall.EROFS, "the disk is mounted read-only", "mount it for writing (read-only can mean a failing disk), " +
		"or choose another directory with --state"},
	{syscall.EMFILE, "this process has too many open files", "raise its limit " +
		"(ulimit -n, or LimitNOFILE= in systemd's unit)"},
	{syscall.ENFILE, "this machine has too many open files", "end programs that keep many files open, and run this again"},
	{syscall.EIO, "the disk does not read or write", "look for errors of the disk in the output of dmesg, " +
		"and copy the state to another disk"},
	{syscall.ENOMEM, "there is not enough memory", "end other programs, and run this again"},
	{syscall.EACCES, "this user has no permission", "see that this user may read and write the file and its directory"},
	{syscall.EPERM, "this user has no permission", "see that this user may read and write the file and its directory"},
}

// systemError is a home.Error with the cause that the system's error number stands for. It is never home.ErrCorrupt.
func systemError(op, path string, err error) *home.Error {
	for _, s := range systemErrors {
		if errors.Is(err, s.errno) {
			return &home.Error{Op: op, Err: fmt.Errorf("%s: %w", s.cause, err), Hint: s.hint}
		}
	}
	return &home.Error{Op: op, Err: err, Hint: "see that the directory of " + path + " exists, and its disk is in order"}
}
