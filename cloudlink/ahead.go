package cloudlink

import (
	"maps"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// After a reset of a large house one sign-in follows another. The one behind a full one is read, proven and signed
// while the service works on that. It is sent when the full one is answered, and discarded where anything else was
// signed since, or the epoch is another: its errands are still in the store.

// prepare signs the sign-in that follows a full one, of the errands that wait behind it.
func (l *Link) prepare(now time.Time, a home.Account, sent *request) error {
	if sent.kind != home.ErrandSignIn {
		return nil
	}
	l.mu.Lock()
	size := l.batch(sent.kind)
	taken := maps.Clone(l.committing) // as of before the read, as in sendErrands
	for _, e := range sent.errands {
		taken[keyOf(e)] = true
	}
	full, refused := len(sent.errands) == size, l.requestsRefused
	l.mu.Unlock()
	if !full {
		return nil
	}
	waiting, err := l.o.Store.ErrandsAfter(sent.last, size)
	if err != nil {
		return err
	}
	batch, last := l.pick(now, slices.DeleteFunc(waiting, func(e home.Errand) bool { return taken[keyOf(e)] }))
	devices := slices.Sorted(maps.Keys(batch))
	if len(devices) == 0 || last.Kind != sent.kind || uint64(last.Epoch) != sent.epoch {
		return nil
	}
	r := &request{
		kind: last.Kind, account: sent.account, service: sent.service, epoch: sent.epoch, errands: batch, last: last,
	}
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
