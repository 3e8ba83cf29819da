// Package iot has the drivers for Kasa devices: Driver for those of the first generation (XOR on port 9999, JSON
// inside), KLAP for those that take the same commands inside KLAP. Facts and sources: devices/PROTOCOLS.md, section 4.
//
// The protocol on port 9999 has no sign-in. Any host on the LAN can ask such a device for its owner and bind it; none
// can ask which password it holds, and the password crosses the LAN nearly in the clear. Consequences:
//
//   - "Current" rests on the device's statement that it is bound to the account, and on this hub's own record of the
//     epoch that it was bound with: the ledger's, or in the moment after a move the driver's.
//   - A device that took the newest password while its cloud was unreachable (-21: stored, and tried later, as far as
//     is known) is pending until it was seen connected, whatever it states about being bound meanwhile. After ten
//     minutes it is bound again.
//   - A device that has been current and is not connected to its cloud now stays current: binding it again would remove
//     the old credential, and without the internet the device cannot take another. The verdict's detail states that it
//     is not connected.
package iot

import (
	"cmp"
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/post"
)

// Options are the options of New and NewKLAP. The zero Options serve.
type Options struct {
	Timeout     time.Duration // for one request and its answer; 5 s when zero
	BindTimeout time.Duration // for a bind, during which the device signs in to its cloud; 20 s when zero
	Dial        post.Dial     // used instead of TCP, where given
	BusyPause   time.Duration // before a request to a device that runs another command is repeated; 1 s when zero
}

// busyTries is how often a request is sent to a device that runs another command.
const busyTries = 5

// pendingTime is how long a device that could not reach its cloud may take to sign in before it is bound again.
const pendingTime = 10 * time.Minute

// Driver speaks to devices on port 9999. It is safe for use by several goroutines.
type Driver struct {
	o     Options
	dial  post.Dial
	binds keyring.Memos[bindRecord]
}

// bindRecord is the last bind of a device by this driver. It bridges the time until the ledger has the epoch.
type bindRecord struct {
	account home.AccountID
	epoch   home.Epoch
	offline bool // the device accepted the password and could not reach its cloud to try it
	at      time.Time
}

// pending reports whether the device is left to sign in by itself: not with a password that is out of date.
func (b bindRecord) pending(newest home.Epoch) bool {
	return b.offline && b.epoch >= newest && time.Since(b.at) < pendingTime
}

// New checks o.
func New(o Options) (*Driver, error) {
	o, err := o.complete()
	return &Driver{o: o, dial: o.Dial}, err
}

// complete checks o and fills in the defaults.
func (o Options) complete() (Options, error) {
	if o.Timeout < 0 || o.BindTimeout < 0 || o.BusyPause < 0 {
		return o, errors.New("iot: times are not negative")
	}
	o.Timeout, o.BindTimeout = cmp.Or(o.Timeout, 5*time.Second), cmp.Or(o.BindTimeout, 20*time.Second)
	o.BusyPause = cmp.Or(o.BusyPause, time.Second)
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	return o, nil
}

// Probe asks the device for its identity and its owner.
func (d *Driver) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: dev}
	conn := d.connect(dev)
	defer conn.close()
	id, err := conn.identify(ctx)
	if err != nil {
		return failure.Finding(ctx, f, err)
	}
	f.Device = id.Describe(dev)
	f.Match, f.Verdict = d.verdict(dev.ID, id, c)
	return f, nil
}

// verdict derives match and verdict from a device's statement and its last bind.
func (d *Driver) verdict(id home.DeviceID, i identity, c home.Candidates) (home.Match, home.Verdict) {
	b := d.lastBind(id, c.Account.ID)
	pending := home.Verdict{State: home.Pending, Detail: "it has the new password, and has not reached its cloud yet"}
	switch i.owner(c.Account.Email) {
	case home.Unknown:
		if i.cloud == nil {
			return home.Unknown, home.Verdict{State: home.Unsupported, Detail: "it has no cloud module that rekeyd knows"}
		}
		return home.Unknown, home.Verdict{State: home.Unasked}
	case home.Foreign:
		d.binds.Set(id, bindRecord{})
		return home.Foreign, home.Verdict{State: home.ForeignHeld}
	case home.Unbound:
		if b.pending(c.Account.Epoch) && strings.EqualFold(i.cloud.username, c.Account.Email) {
			return home.Ours, pending
		}
		d.binds.Set(id, bindRecord{})
		return home.Unbound, home.Verdict{State: home.Blank}
	}
	if b.offline && i.cloud.connected != 1 && c.Recorded < b.epoch {
		if b.pending(c.Account.Epoch) {
			return home.Ours, pending
		}
		b.epoch = 0 // it was never seen to hold that
	}
	v := home.Verdict{State: home.Stale, Epoch: max(c.Recorded, b.epoch)}
	if v.Epoch != 0 {
		v = v.Against(c.Account.Epoch)
	}
	var details []string
	if i.cloud.username != c.Account.Email {
		details = append(details, "it knows the account's e-mail address in other upper and lower case")
	}
	if i.cloud.connected != 1 {
		details = append(details, "it is not connected to its cloud now")
	}
	v.Detail = strings.Join(details, "; ")
	return home.Ours, v
}

// lastBind returns the last bind of the device for this account, zero when there was none.
func (d *Driver) lastBind(id home.DeviceID, a home.AccountID) bindRecord {
	if b := d.binds.Of(id); b.account == a {
		return b
	}
	return bindRecord{}
}

func (d *Driver) recordBind(id home.DeviceID, b bindRecord) {
	b.at = time.Now()
	d.binds.Set(id, b)
}
