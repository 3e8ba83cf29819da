package daemon

import (
	"net/netip"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// unbound schedules the devices that are not bound. Any host on the LAN can announce thousands of them, so they share a
// part of the slots, each address is probed once at a time, and an address that does not answer is probed again after
// pauses that grow. Addresses without a missed probe come first.
type unbound struct {
	limit int // jobs at once
	busy  int // jobs at this moment
	addrs map[netip.Addr]*address
	where map[home.DeviceID]netip.Addr // the address under which a device is scheduled
	due   [2]schedule[netip.Addr]      // without a missed probe, and with one
}

// address is one network address with the devices that are scheduled there.
type address struct {
	devices schedule[home.DeviceID]
	busy    bool
	misses  int       // jobs in a row without an answer
	free    time.Time // no job before
}

const (
	firstPause = 2 * time.Second // after one job without an answer; doubles each time
	lastPause  = 5 * time.Minute
)

func newUnbound(limit int) unbound {
	return unbound{limit: limit, addrs: map[netip.Addr]*address{}, where: map[home.DeviceID]netip.Addr{}}
}

// add makes a device due at its address, unless it is due earlier. A device has one address.
func (u *unbound) add(id home.DeviceID, addr netip.Addr, at time.Time) {
	if u.where[id] != addr {
		if before, ok := u.remove(id); ok && before.Before(at) {
			at = before
		}
	}
	if u.addrs[addr] == nil {
		u.addrs[addr] = &address{}
	}
	u.where[id] = addr
	u.addrs[addr].devices.add(id, at)
	u.plan(addr)
}

// remove returns when the device was due; ok is false where it was not scheduled.
func (u *unbound) remove(id home.DeviceID) (at time.Time, ok bool) {
	addr, ok := u.where[id]
	if !ok {
		return at, false
	}
	delete(u.where, id)
	at, _ = u.addrs[addr].devices.remove(id)
	u.plan(addr)
	return at, true
}

// plan makes an address due when it may be probed and the first of its devices is due. It forgets an address without
// devices.
func (u *unbound) plan(addr netip.Addr) {
	a := u.addrs[addr]
	if a.busy {
		return // done plans it
	}
	first, ok := a.devices.first()
	if !ok {
		delete(u.addrs, addr)
		u.due[0].remove(addr)
		u.due[1].remove(addr)
		return
	}
	order := min(a.misses, 1)
	u.due[1-order].remove(addr)
	u.due[order].set(addr, later(first, a.free))
}

// pop returns a device that is due. Its address and a slot are taken until done.
func (u *unbound) pop(now time.Time) (id home.DeviceID, addr netip.Addr, ok bool) {
	for i := range u.due {
		if u.busy >= u.limit {
			break
		}
		if addr, ok = u.due[i].pop(now); !ok {
			continue
		}
		a := u.addrs[addr]
		id, _ = a.devices.pop(now) // plan has seen that it is due
		delete(u.where, id)
		a.busy = true
		u.busy++
		return id, addr, true
	}
	return "", addr, false
}

// cancel takes back a pop: the job does not begin.
func (u *unbound) cancel(addr netip.Addr) {
	u.busy--
	u.addrs[addr].busy = false
	u.plan(addr)
}

// done ends a job and leaves its address.
func (u *unbound) done(addr netip.Addr, answered bool, now time.Time) {
	u.busy--
	u.leave(addr, answered, now)
}

// enter takes another address for a job that runs; ok is false where the address is taken, or must not be probed yet.
func (u *unbound) enter(addr netip.Addr, now time.Time) (ok bool) {
	a := u.addrs[addr]
	if a == nil {
		a = &address{}
		u.addrs[addr] = a
	}
	if a.busy || now.Before(a.free) {
		return false
	}
	a.busy = true
	u.due[0].remove(addr)
	u.due[1].remove(addr)
	return true
}

// leave frees an address. Answered is false where nothing answered there.
func (u *unbound) leave(addr netip.Addr, answered bool, now time.Time) {
	a := u.addrs[addr]
	a.busy = false
	if a.misses++; answered {
		a.misses = 0
	} else {
		a.free = now.Add(min(firstPause<<min(a.misses-1, 20), lastPause))
	}
	u.plan(addr)
}

// next returns when the next device may be probed, or last where that is earlier.
func (u *unbound) next(last time.Time) time.Time {
	if u.busy >= u.limit {
		return last // the end of a job is followed by another round
	}
	return u.due[1].next(u.due[0].next(last))
}
