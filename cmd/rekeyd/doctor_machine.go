package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// The checks of this machine.

// network checks for an interface with multicast, and that answers to mDNS questions can be received on port 5353.
func (d *doctor) network() {
	all, err := net.Interfaces()
	var names []string
	for _, i := range all {
		if i.Flags&(net.FlagUp|net.FlagMulticast|net.FlagLoopback) == net.FlagUp|net.FlagMulticast {
			names = append(names, i.Name)
		}
	}
	switch {
	case err != nil:
		d.err("network", trouble, err, "")
	case len(names) == 0:
		d.add("network", trouble, "no interface has multicast, so no device can announce itself",
			"connect this machine to the network of the devices, or name them with: rekeyd run --target ADDRESS")
	default:
		d.add("network", fine, "interfaces with multicast: "+strings.Join(names, ", "), "")
	}
	conn, err := net.ListenMulticastUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353})
	if err != nil {
		d.add("port 5353", warning, err.Error(), "stop the program that holds this port for itself")
		return
	}
	_ = conn.Close()
	d.add("port 5353", fine, "announcements can be received", "")
}

// Room on the disk below which the state may soon not be written.
const (
	littleRoom = 64 << 20
	noRoom     = 8 << 20
)

// files checks the disk of the state, and who may read the state.
func (d *doctor) files() {
	st, err := os.Stat(d.state)
	if err != nil {
		d.add("disk", trouble, err.Error(), "name the state with --state, or make it with: rekeyd run")
		return
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(d.state, &disk); err != nil {
		d.err("disk", trouble, err, "")
	} else {
		room := disk.Bavail * uint64(disk.Bsize)
		result, hint := fine, ""
		if room < littleRoom {
			result, hint = warning, "make room on the disk of "+d.state
		}
		if room < noRoom {
			result = trouble
		}
		d.add("disk", result, fmt.Sprintf("%d MB are free for %s", room>>20, d.state), hint)
	}
	if app.Volatile(d.state) {
		d.add("disk", warning, "the state in "+d.state+" is in memory, and lost when this machine restarts",
			"choose a directory on a disk with --state")
	}
	open := false
	for _, name := range []string{"", "vault.key", "rekeyd.db"} {
		path := filepath.Join(d.state, name)
		if name != "" {
			st, err = os.Stat(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			d.err("file modes", trouble, err, "")
			open = true
		} else if mode := st.Mode().Perm(); mode&0o077 != 0 {
			open = true
			d.add("file modes", trouble, fmt.Sprintf("other users may open %s (%v)", path, mode), "run: chmod go= "+path)
		}
	}
	if !open {
		d.add("file modes", fine, "only this user may open the state", "")
	}
}

// earliest is before any start of this program. A clock that shows less was never set.
var earliest = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)

// history checks the clock against the newest event.
func (d *doctor) history(read func() ([]home.Event, error)) {
	const hint = "set the clock, or have it set from the network (NTP)"
	events, err := read()
	now := time.Now()
	switch {
	case err != nil:
		d.err("history", trouble, err, "")
	case now.Before(earliest):
		d.add("clock", trouble, "it shows "+now.Format(time.DateTime), hint)
	case len(events) > 0 && events[0].At.After(now.Add(5*time.Minute)):
		newest := events[0].At.Local().Format(time.DateTime)
		d.add("clock", trouble, "the newest event is of "+newest+", which is to come", hint)
	default:
		d.add("clock", fine, "it shows "+now.Format(time.DateTime), "")
	}
}

// reachTime is how long the account service may take to accept a connection.
const reachTime = 5 * time.Second

// reach connects to the address in a URL.
func reach(ctx context.Context, base string) error {
	u, err := url.Parse(base)
	if err != nil {
		return err
	}
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	dialer := net.Dialer{Timeout: reachTime}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)))
	if err != nil {
		return &home.Error{
			Op: "reach the account service", Err: err, Hint: "see that it runs, and that this machine has a network",
		}
	}
	return conn.Close()
}
