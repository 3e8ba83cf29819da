package cloudlink

import (
	"maps"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// After a reset of a large house one full sign-in follows another. The next one is read, proven and signed while the
// service works on the one before. It is sent when that one is answered, and discarded where anything else was signed
// since, or the epoch is another: its errands are still in the store.

// prepare signs the sign-in that follows sent, where a whole batch waits. Fewer devices are sent later, with those that
// come until then.
func (l *Link) prepare(now time.Time, a home.Account, sent *request) error {
	if sent.kind != home.ErrandSignIn {
		return nil
	}
	size := l.batch(sent.kind)
	l.mu.Lock()
	taken := maps.Clone(l.committing) // as of before the read, as in sendErrands
	for _, e := range sent.errands {
		taken[keyOf(e)] = true
	}
	full, refused := len(sent.errands) == size, l.requestsRefused
	n := len(l.deferred) + len(taken) + size
	l.mu.Unlock()
	if !full {
		return nil
	}
	waiting, err := l.o.Store.Errands(n)
	if err != nil {
		return err
	}
	batch := l.pick(now, slices.DeleteFunc(waiting, func(e home.Errand) bool { return taken[keyOf(e)] }))
	devices := slices.Sorted(maps.Keys(batch))
	if len(devices) < size {
		return nil
	}
	lead := batch[devices[0]]
	if lead.Kind != sent.kind || uint64(lead.Epoch) != sent.epoch {
		return nil
	}
	r := &request{kind: lead.Kind, account: sent.account, service: sent.service, epoch: sent.epoch, errands: batch}
	k, err := l.signInKeys(a, r, devices)
	if err != nil || !k.complete() || len(k.bindings) < len(devices) {
		return err
	}
	if err := l.sign(now, r, func(id string) wire.Body { return l.signIn(r, k, id) }); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.requestsRefused == refused {
		l.ahead = r
	}
	return nil
}

// takeAhead returns the prepared sign-in where it is still the next request.
func (l *Link) takeAhead(a home.Account) *request {
	l.mu.Lock()
	r := l.ahead
	l.ahead = nil
	l.mu.Unlock()
	if r == nil || r.seq != l.lastSeq() || r.account != string(a.ID) || r.epoch != uint64(a.Epoch) {
		return nil
	}
	return r
}
