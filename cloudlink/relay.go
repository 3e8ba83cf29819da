package cloudlink

import (
	"context"
	"errors"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

const (
	relayWorkers = 8 // requests that are carried out at once
	relayQueue   = 64
	relayLongest = time.Minute // from now until a request expires
	relaysMost   = 1024        // remembered
)

// order is an app's request to a device, checked and opened.
type order struct {
	id, from string
	account  string
	device   home.DeviceID
	request  []byte
	until    time.Time // by this member's monotonic clock
}

// outcome is the answer to an order; answer is nil while it is carried out. It is kept until the order expires, so that
// the order is carried out once.
type outcome struct {
	until  time.Time
	answer *wire.Relayed
}

// relay takes an app's request to a device. It expires by this member's own clock, and only in the start that it names:
// an earlier start may have carried it out. One that comes again gets the same answer.
func (l *Link) relay(_ *request, m *wire.Message, b *wire.Relay) error {
	a, err := l.o.Store.Account()
	if err != nil {
		return err
	}
	if b.Account != string(a.ID) {
		return home.ErrForged
	}
	now := time.Now()
	left := b.Until - l.clock() // milliseconds
	o := order{m.ID, m.From, b.Account, home.DeviceID(b.Device), nil, now.Add(time.Duration(left) * time.Millisecond)}
	switch {
	case b.Boot != l.o.Boot:
		l.ignore(expired)
		l.reply(o, &wire.Relayed{Code: wire.CodeRestarted})
		l.askSoon() // the service does not know this start yet
		return nil
	case left <= 0:
		l.drop(expired, "a request to a device that came too late", nil)
		l.reply(o, &wire.Relayed{Code: wire.CodeExpired})
		return nil
	case left > relayLongest.Milliseconds():
		return home.ErrForged
	}
	was, known, room := l.remember(o, now)
	switch {
	case known: // asked before the seal, whose key may have been replaced since
		l.ignore(replayed)
		if was != nil { // else it is being carried out
			l.reply(o, was)
		}
		return nil
	case !room: // it could be carried out twice
		l.reply(o, &wire.Relayed{Code: wire.CodeBusy})
		return nil
	}
	o.request, err = l.Open(wire.RelayInfo(b.Account, m.From, l.o.Identity.Name, b.Device, m.ID), b.Sealed)
	if err != nil || len(o.request) > wire.MaxRelay {
		// The service signed it: most likely it was on its way while the sealing key was replaced.
		l.drop(forged, "a request to a device that does not open", err)
		l.finished(o, &wire.Relayed{Code: wire.CodeOldKey})
		return nil
	}
	select {
	case l.orders <- o:
	default:
		l.finished(o, &wire.Relayed{Code: wire.CodeBusy})
	}
	return nil
}

// remember returns the answer to an order that came before. An order that is new it remembers until it expires, where
// there is room.
func (l *Link) remember(o order, now time.Time) (answer *wire.Relayed, known, room bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if was, ok := l.relayed[o.id]; ok {
		return was.answer, true, true
	}
	for id, d := range l.relayed {
		if now.After(d.until) {
			delete(l.relayed, id)
		}
	}
	if len(l.relayed) >= relaysMost {
		return nil, false, false
	}
	l.relayed[o.id] = &outcome{until: o.until}
	return nil, false, true
}

// work carries out orders until ctx ends.
func (l *Link) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-l.orders:
			l.finished(o, l.carryOut(ctx, o))
		}
	}
}

// carryOut passes an order to the device, and seals its answer to the service.
func (l *Link) carryOut(ctx context.Context, o order) *wire.Relayed {
	if l.o.Relay == nil {
		return &wire.Relayed{Code: wire.CodeNotSpoken}
	}
	ctx, stop := context.WithDeadline(ctx, o.until)
	defer stop()
	response, err := l.o.Relay(ctx, o.device, o.request)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return &wire.Relayed{Code: wire.CodeNotSpoken}
	case errors.Is(err, home.ErrNotFound):
		return &wire.Relayed{Code: wire.CodeUnknown}
	case errors.Is(err, home.ErrForeign):
		return &wire.Relayed{Code: wire.CodeForeign}
	case errors.Is(err, home.ErrBusy):
		return &wire.Relayed{Code: wire.CodeBusy}
	case err != nil:
		l.o.Log.Debug("request not answered", "device", o.device, "err", err)
		return &wire.Relayed{Code: wire.CodeOffline}
	}
	if len(response) > wire.MaxRelay {
		return &wire.Relayed{Code: wire.CodeBusy}
	}
	a, err := l.o.Store.Account()
	if err != nil || string(a.ID) != o.account {
		return &wire.Relayed{Code: wire.CodeForeign}
	}
	info := wire.RelayInfo(o.account, l.o.Identity.Name, o.from, string(o.device), o.id)
	sealed, err := serviceKeys(a).SealTo(info, response)
	if err != nil {
		l.o.Log.Error("answer not sealed", "device", o.device, "err", err)
		return &wire.Relayed{Code: wire.CodeBusy}
	}
	return &wire.Relayed{Sealed: sealed}
}

func (l *Link) finished(o order, answer *wire.Relayed) {
	l.mu.Lock()
	l.relayed[o.id] = &outcome{o.until, answer}
	l.mu.Unlock()
	l.reply(o, answer)
}

// reply answers an order. An answer is no request: it has no sequence number, and nothing waits for it.
func (l *Link) reply(o order, answer *wire.Relayed) {
	b := *answer
	b.Account, b.Device = o.account, string(o.device)
	raw, err := l.o.Identity.Sign(&wire.Message{Re: o.id, To: o.from, At: time.Now().UnixMilli(), Body: &b})
	if err != nil {
		l.o.Log.Error("answer not signed", "device", o.device, "err", err)
		return
	}
	l.queue(raw)
}
