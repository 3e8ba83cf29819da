package app

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Volatile reports whether files below path are in memory and lost when the machine restarts: on tmpfs or ramfs, or on
// an overlay whose changes are kept there, as on a Raspberry Pi with a read-only card. The path need not exist yet.
func Volatile(path string) bool {
	path, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	for {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
			break
		}
		path = filepath.Dir(path)
		if path == "/" {
			break
		}
	}
	switch fileSystem(path) {
	case "tmpfs", "ramfs":
		return true
	case "overlay":
		mounts, err := os.Open("/proc/self/mountinfo")
		if err != nil {
			return false
		}
		defer mounts.Close()
		upper := upperDir(bufio.NewScanner(mounts), path)
		return upper != "" && strings.HasSuffix(fileSystem(upper), "mfs")
	}
	return false
}

// fileSystem returns the name of the file system that holds path (statfs(2)), of the few that matter here.
func fileSystem(path string) string {
	var st syscall.Statfs_t
	if syscall.Statfs(path, &st) != nil {
		return ""
	}
	return map[uint32]string{0x01021994: "tmpfs", 0x858458f6: "ramfs", 0x794c7630: "overlay"}[uint32(st.Type)]
}

// upperDir returns the upperdir= of the overlay that holds path (proc_pid_mountinfo(5)); empty where it is not known.
func upperDir(mounts *bufio.Scanner, path string) (upper string) {
	longest := -1
	for mounts.Scan() {
		mount, options, _ := strings.Cut(mounts.Text(), " - ")
		fields, super := strings.Fields(mount), strings.Fields(options)
		if len(fields) < 5 || len(super) < 3 {
			continue
		}
		at := strings.TrimSuffix(fields[4], "/")
		if len(at) <= longest || path != at && !strings.HasPrefix(path, at+"/") {
			continue
		}
		longest, upper = len(at), ""
		for _, option := range strings.Split(super[2], ",") {
			if dir, ok := strings.CutPrefix(option, "upperdir="); ok {
				upper = dir
			}
		}
	}
	return upper
}
