package cloudlink

import (
	"errors"
	"fmt"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// notice takes a notice from its topic. The service publishes it after it has connected: requests of the time before
// may be lost. The broker's own copy, stored, is no sign of that.
func (l *Link) notice(raw []byte, stored bool) {
	if len(raw) == 0 {
		return // a retained message was cleared
	}
	n, err := wire.ParseNotice(raw)
	if err != nil {
		l.drop(malformed, "a notice that cannot be read", err)
		return
	}
	a, err := l.o.Store.Account()
	if err == nil {
		err = n.Verify(serviceKeys(a), string(a.ID))
	}
	verified := err == nil
	if verified {
		err = l.follows(a, n)
	}
	switch {
	case err == nil:
		if home.Epoch(n.Epoch) > a.Epoch {
			l.askWithin(min(2*time.Second, l.o.Patience))
		}
		if !stored {
			l.repeatSoon()
		}
	case errors.Is(err, wire.ErrGap):
		l.askSoon()
	default:
		if verified { // a replay, or the service is older than this hub: its answer to hello decides
			l.askWithin(min(2*time.Second, l.o.Patience))
		}
		l.distrust("a notice", err)
	}
}

// follows checks a verified notice against the chain, and records it.
func (l *Link) follows(a home.Account, n wire.Notice) error {
	known, hash := a.NoticeEpoch, a.Notice
	if err := n.Follows(known, hash); err != nil {
		return err
	}
	if home.Epoch(n.Epoch) == known {
		return nil
	}
	if err := l.expose(a, n); err != nil {
		return err
	}
	return l.o.Store.NoteNotice(a.ID, home.Epoch(n.Epoch), n.Hash(), n.JWS())
}

// expose records, before the grant is in the vault, that somebody else may know the passwords before the notice's.
func (l *Link) expose(a home.Account, n wire.Notice) error {
	if !n.Exposed {
		return nil
	}
	return l.o.Store.Expose(a.ID, home.Epoch(n.Epoch))
}

// ReceiveNotice takes a notice that came another way than through the broker: through the endpoint of a native device.
func (l *Link) ReceiveNotice(n wire.Notice) { l.notice(n.JWS(), true) }

// Ask has the link send a hello at once, and dial at once where it has no connection. It never blocks.
func (l *Link) Ask() {
	l.mu.Lock()
	conn := l.conn
	l.mu.Unlock()
	if conn != nil {
		conn.Hurry()
	}
	l.askSoon()
}

func (l *Link) askSoon() {
	l.mu.Lock()
	l.asked = time.Time{}
	l.mu.Unlock()
	l.Wake()
}

// askWithin has the next hello wait no longer than d: time for the grant to come by itself, as it does after a reset.
func (l *Link) askWithin(d time.Duration) {
	l.mu.Lock()
	l.asked = earlier(l.asked, time.Now().Add(d-l.o.AskEvery))
	l.mu.Unlock()
	l.Wake()
}

// grant opens a grant and begins its epoch on disk, with all its consequences. A grant between the newest granted epoch
// and the newest notice was missed: its own signature suffices, because the chain went past it already.
func (l *Link) grant(_ *request, m *wire.Message, g *wire.Grant) error {
	a, err := l.o.Store.Account()
	if err != nil {
		return err
	}
	if err := g.Notice.Verify(serviceKeys(a), string(a.ID)); err != nil {
		return err
	}
	e := home.Epoch(g.Notice.Epoch)
	switch {
	case e < a.Epoch:
		return fmt.Errorf("grant of epoch %d after %d: %w", e, a.Epoch, home.ErrOldEpoch)
	case e == a.Epoch:
		l.ignore(replayed) // doubled, or sent again because the acknowledgement was lost: acknowledge again
		l.settle(nil)
		return l.o.Store.Queue([]home.Errand{{Kind: home.ErrandAck, Epoch: e, At: time.Now().UTC().Round(0)}})
	case a.Epoch != 0 && e-1 > a.Epoch && !l.answersHello(m.Re):
		l.askSoon() // one in between was lost: a device may still hold its password
		return nil
	case e >= a.NoticeEpoch:
		if err := g.Notice.Follows(a.NoticeEpoch, a.Notice); err != nil {
			if errors.Is(err, wire.ErrGap) {
				l.askSoon()
				return nil
			}
			return err
		}
	}
	in, err := l.openGrant(g)
	if err != nil {
		return err
	}
	cred := home.Credential{Epoch: e, Username: in.Username, Password: in.Password, EpochSecret: in.Secret}
	if err := l.expose(a, g.Notice); err != nil {
		return err
	}
	stale, err := l.o.Store.BeginEpoch(a.ID, cred, g.Notice.Hash(), g.Notice.JWS())
	if err != nil {
		return err
	}
	l.o.Log.Info("epoch begun", "epoch", e, "stale", stale, "cause", g.Notice.Cause, "via", g.Notice.Via)
	l.mu.Lock()
	l.nonce = nil // it was for the epoch before
	l.asked = earlier(l.asked, time.Now().Add(-l.o.AskEvery))
	l.mu.Unlock()
	l.settle(nil)
	if l.o.Began != nil {
		l.o.Began(e)
	}
	l.Wake()
	return nil
}

// answersHello returns whether re is the ID of a hello that waits for its answer.
func (l *Link) answersHello(re string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pending != nil && l.pending.id == re && l.pending.kind == kindHello
}
