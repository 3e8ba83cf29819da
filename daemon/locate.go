package daemon

import (
	"context"
	"net/netip"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// locate probes the device of t. Where it does not speak its protocol at its address, and replies with its keys came
// from other addresses, it is probed there, too: t and the roster then have the address at which it does. Each address
// is a hint, and the proof that is asked there is the same.
func (r *Rekeyer) locate(ctx context.Context, t *task) (home.Finding, error) {
	f, err := t.probe(ctx)
	if err != nil || !astray(f, t.device.Protocol) || !mayBeElsewhere(*t) {
		return f, err
	}
	elsewhere := *t
	for _, at := range t.device.AlsoAt {
		elsewhere.device.Addr = at
		g, err := r.probeElsewhere(ctx, elsewhere)
		if ctx.Err() != nil {
			break // the first finding is true all the same
		}
		if err != nil || astray(g, t.device.Protocol) {
			continue
		}
		r.o.Log.Info("device speaks at another address", "device", t.device.ID, "addr", at, "not_at", t.device.Addr)
		elsewhere.device.AlsoAt = swap(t.device.AlsoAt, at, t.device.Addr)
		*t = elsewhere
		r.o.Roster.Spoke(t.device.ID, at)
		if t.subject.Bound() {
			r.save([]home.Device{t.device})
		}
		return g, nil
	}
	return f, nil
}

// probeElsewhere probes the device of t at one of its other addresses. The address of an unbound device that is taken,
// or did not answer lately, counts as silent: see unbound.
func (r *Rekeyer) probeElsewhere(ctx context.Context, t task) (home.Finding, error) {
	if t.subject.Bound() {
		return t.probe(ctx)
	}
	addr := t.device.Addr.Addr()
	r.mu.Lock()
	ok := r.unbound.enter(addr, time.Now())
	r.mu.Unlock()
	if !ok {
		return home.Finding{Match: home.Unknown, Device: t.device, Verdict: home.Verdict{State: home.Unreachable}}, nil
	}
	f, err := t.probe(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unbound.leave(addr, f.Verdict.State != home.Unreachable, time.Now())
	return f, err
}

// astray reports whether a device that is found so may be elsewhere: nothing answers, another device does, or a
// stranger that proves none of the credentials.
func astray(f home.Finding, p home.Protocol) bool {
	return f.Other || f.Verdict.State == home.Unreachable || f.Verdict.State == home.Mismatch && provesUncounted(p)
}

// provesUncounted reports whether devices of a protocol prove what they hold before they receive anything, and count
// no probe as a sign-in.
func provesUncounted(p home.Protocol) bool {
	info := p.Info()
	return info.Rank == home.ProvesFirst && !info.Ordered
}

// mayBeElsewhere reports whether a device may be probed at another address without its owner's order. A cleartext
// consent is for one address, so a camera of old firmware receives no hash at another one; a device that proves nothing
// at all is probed there only before it is bound.
func mayBeElsewhere(t task) bool {
	p := t.device.Protocol
	return provesUncounted(p) || p == home.IOT && !t.subject.Bound() // its probe contains no secret
}

// swap returns list with old in place of taken.
func swap(list []netip.AddrPort, taken, old netip.AddrPort) []netip.AddrPort {
	out := make([]netip.AddrPort, 0, len(list))
	for _, a := range list {
		if a == taken {
			a = old
		}
		out = append(out, a)
	}
	return out
}
