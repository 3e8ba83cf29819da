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
	relayMemory  = 2 * time.Minute // how long an answer is remembered, for a request that comes again
	relaysMost   = 1024            // remembered
)

// order is a request of an app to a device, checked and opened.
type order struct {
	id, from string
	account  string
	device   home.DeviceID
	request  []byte
	until    time.Time
}

// done is what came of an order; answer is nil while it is carried out.
type done struct {
	at     time.Time
	answer *wire.Relayed
}

// relay takes an app's request to a device. One that comes again is not carried out again: its answer is said again.
func (l *Link) relay(m *wire.Message, b *wire.Relay) error {
	a, err := l.o.Store.Account()
	if err != nil {
		return err
	}
	if b.Account != string(a.ID) || m.Exp == 0 {
		return home.ErrForged
	}
	if time.Now().After(time.UnixMilli(m.Exp)) {
		l.drop(&l.counts.expired, "a request to a device that came too late", nil)
		return nil
	}
	request, err := l.o.Identity.Open(wire.RelayInfo(b.Account, m.From, l.o.Identity.Name, b.Device, m.ID), b.Sealed)
	if err != nil || len(request) > wire.MaxRelay {
		return home.ErrForged
	}
	o := order{m.ID, m.From, b.Account, home.DeviceID(b.Device), request, time.UnixMilli(m.Exp)}
	now := time.Now()
	l.mu.Lock()
	was, again := l.relayed[m.ID]
	if !again {
		for id, d := range l.relayed {
			if now.Sub(d.at) > relayMemory {
				delete(l.relayed, id)
			}
		}
		if again = len(l.relayed) >= relaysMost; !again {
			l.relayed[m.ID] = &done{at: now}
		}
	}
	var answer *wire.Relayed
	if was != nil {
		answer = was.answer
	}
	l.mu.Unlock()
	switch {
	case was != nil && answer != nil:
		l.counts.replayed.Add(1)
		l.reply(o, answer)
	case was != nil: // it is being carried out
		l.counts.replayed.Add(1)
	case again: // no room to remember it, so it might be carried out twice
		l.reply(o, &wire.Relayed{Code: wire.CodeBusy})
	default:
		select {
		case l.orders <- o:
		default:
			l.finished(o, &wire.Relayed{Code: wire.CodeBusy})
		}
	}
	return nil
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

// carryOut has a device asked, and seals its answer to the service.
func (l *Link) carryOut(ctx context.Context, o order) *wire.Relayed {
	if l.o.Relay == nil {
		return &wire.Relayed{Code: wire.CodeNotSpoken}
	}
	ctx, stop := context.WithDeadline(ctx, o.until)
	defer stop()
	said, err := l.o.Relay(ctx, o.device, o.request)
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
	if len(said) > wire.MaxRelay {
		return &wire.Relayed{Code: wire.CodeBusy}
	}
	a, err := l.o.Store.Account()
	if err != nil || string(a.ID) != o.account {
		return &wire.Relayed{Code: wire.CodeForeign}
	}
	sealed, err := serviceKeys(a).SealTo(wire.RelayInfo(o.account, l.o.Identity.Name, o.from, string(o.device), o.id), said)
	if err != nil {
		l.o.Log.Error("answer not sealed", "device", o.device, "err", err)
		return &wire.Relayed{Code: wire.CodeBusy}
	}
	return &wire.Relayed{Sealed: sealed}
}

func (l *Link) finished(o order, answer *wire.Relayed) {
	l.mu.Lock()
	l.relayed[o.id] = &done{time.Now(), answer}
	l.mu.Unlock()
	l.reply(o, answer)
}

func (l *Link) reply(o order, answer *wire.Relayed) {
	b := *answer
	b.Account, b.Device = o.account, string(o.device)
	l.say(&wire.Message{ID: wire.NewID(), Re: o.id, To: o.from, Body: &b})
}
