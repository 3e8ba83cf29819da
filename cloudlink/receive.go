package cloudlink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Enrol joins the account of a pairing and waits until the account's newest grant is on disk. The e-mail address and password
// are what the account's owner typed; the service has just checked them and keeps neither in the clear.
func (l *Link) Enrol(ctx context.Context, p pairing.Pairing, email string, password home.Secret) error {
	for _, b := range p.Brokers {
		if _, err := mqtt.ParseBroker(b); err != nil {
			return &home.Error{Op: "enrol this hub", Err: err, Hint: "sign in again with: rekeyd login"}
		}
	}
	o := &offer{pairing: p, email: email, password: password, done: make(chan error, 1)}
	l.mu.Lock()
	l.offer = o
	l.mu.Unlock()
	l.Rejoin()
	l.Wake()
	select {
	case <-ctx.Done():
		l.mu.Lock()
		if l.offer == o {
			l.offer = nil
		}
		l.mu.Unlock()
		return fmt.Errorf("enrol: the account service did not answer: %w", home.ErrUnavailable)
	case err := <-o.done:
		return err
	}
}

func (l *Link) enrol(now time.Time, service string, o *offer) {
	if l.isOpen(kindEnrol) {
		return
	}
	id := l.o.Identity
	b := &wire.Enrol{Keys: id.Keys, Name: l.o.Name, Version: l.o.Version}
	c := &conversation{kind: kindEnrol, service: service}
	if o != nil {
		b.Pairing = o.pairing.Name
		b.Proof = wire.PairingProof(o.pairing.Secret, wire.RoleHub, o.pairing.Name, id.Name, id.Keys)
		c.account = o.pairing.Account
	} else {
		a, err := l.o.Store.Account()
		if err == nil {
			c.account = string(a.ID)
			b.Secret, err = serviceKeys(a).SealTo(wire.SecretInfo(c.account, id.Name), []byte(l.o.Secret.Reveal()))
		}
		if err != nil {
			l.o.Log.Error("enrolment not begun", "err", err)
			return
		}
	}
	l.start(now, c, b)
}

// receive takes one message from the broker. What it changes is on disk when it returns, and only then is it acknowledged.
func (l *Link) receive(m mqtt.Message) {
	t, ok := wire.ParseTopic(m.Topic)
	switch {
	case ok && t.Leaf == "notice":
		l.notice(m.Payload)
	case ok && t.Leaf == "inbox" && t.Name == l.o.Identity.Name:
		l.inbox(m.Payload)
	default:
		l.drop(&l.counts.unexpected, "a message on a topic that was not asked for", nil)
	}
}

func (l *Link) notice(raw []byte) {
	if len(raw) == 0 {
		return // a retained message was cleared
	}
	n, err := wire.ParseNotice(raw)
	if err != nil {
		l.drop(&l.counts.malformed, "a notice that cannot be read", err)
		return
	}
	a, err := l.o.Store.Account()
	if err == nil {
		err = n.Verify(serviceKeys(a), string(a.ID))
	}
	if err == nil {
		err = l.follows(a, n)
	}
	switch {
	case err == nil:
		if home.Epoch(n.Epoch) > a.Epoch {
			l.askWithin(min(2*time.Second, l.o.Patience))
		}
	case errors.Is(err, wire.ErrGap):
		l.askSoon()
	default:
		l.distrust("a notice", err)
	}
}

// follows checks a verified notice against the chain, and writes down that it was heard.
func (l *Link) follows(a home.Account, n wire.Notice) error {
	known, hash := a.NoticeEpoch, a.Notice
	if err := n.Follows(known, hash); err != nil {
		return err
	}
	if home.Epoch(n.Epoch) == known {
		return nil
	}
	return l.o.Store.NoteNotice(a.ID, home.Epoch(n.Epoch), n.Hash(), n.JWS())
}

// Heard takes a notice that came another way than through the broker: through the endpoint of a native device.
func (l *Link) Heard(n wire.Notice) { l.notice(n.JWS()) }

// askWithin has the next ask not wait longer than d: time for the grant to come by itself, as it does after a reset.
func (l *Link) askWithin(d time.Duration) {
	l.mu.Lock()
	l.asked = earlier(l.asked, time.Now().Add(d-l.o.AskEvery))
	l.mu.Unlock()
	l.Wake()
}

// distrust counts a message that does not hold, by why.
func (l *Link) distrust(what string, err error) {
	switch {
	case errors.Is(err, home.ErrForged):
		l.drop(&l.counts.forged, what+" that was not signed by the account service", err)
	case errors.Is(err, home.ErrOldEpoch):
		l.drop(&l.counts.old, what+" of an older epoch", err)
	case errors.Is(err, home.ErrReplayed):
		l.counts.replayed.Add(1)
	case errors.Is(err, home.ErrNoAccount):
		l.counts.unexpected.Add(1)
	default:
		l.o.Log.Error("message not processed", "what", what, "err", err)
	}
}

// inbox takes one message of the service: who sent it, then whether it is asked for and fresh, then what it says.
func (l *Link) inbox(raw []byte) {
	m, err := wire.ParseMessage(raw)
	if err != nil {
		l.drop(&l.counts.malformed, "a message that cannot be read", err)
		return
	}
	keys, err := l.service()
	if err == nil {
		err = m.Verify(keys, l.o.Identity.Name)
	}
	if err != nil {
		l.distrust("a message", err)
		return
	}
	l.o.Log.Debug("message received", "type", m.Type, "id", m.ID, "re", m.Re)
	l.mu.Lock()
	c := l.open[m.Re]
	if c != nil { // anything else may be a replay: it does not show that the service is there
		l.heard, l.misses = time.Now(), 0
	}
	l.mu.Unlock()
	if m.Expired(time.Now(), c != nil) {
		l.drop(&l.counts.expired, "a message that came too late", nil)
		return
	}
	if g, ok := m.Body.(*wire.Grant); ok {
		if err := l.grant(m, g, keys); err != nil {
			l.distrust("a grant", err)
		}
		return
	}
	if r, ok := m.Body.(*wire.Relay); ok {
		if err := l.relay(m, r); err != nil {
			l.distrust("a request to a device", err)
		}
		return
	}
	if c == nil {
		l.counts.unexpected.Add(1) // late, doubled or replayed: nobody waits for it
		return
	}
	if err := l.answer(c, m); err != nil {
		l.distrust("an answer", err)
	}
}

// service returns the keys of the account service: pinned at enrolment, or those of the pairing that is being used.
func (l *Link) service() (wire.Keys, error) {
	l.mu.Lock()
	o := l.offer
	l.mu.Unlock()
	if o != nil && !o.enrolled {
		return o.pairing.Service, nil
	}
	a, err := l.o.Store.Account()
	return serviceKeys(a), err
}

// answer goes on with the conversation that m answers.
func (l *Link) answer(c *conversation, m *wire.Message) error {
	switch b := m.Body.(type) {
	case *wire.Enrolled:
		if c.kind == kindEnrol {
			return l.enrolled(m, b)
		}
	case *wire.Challenge:
		if c.kind == home.ErrandSignIn && b.Epoch == c.epoch {
			return l.challenged(c, m, b)
		}
	case *wire.Session:
		if c.kind == home.ErrandSignIn && b.Epoch == c.epoch {
			return l.session(c, m, b)
		}
	case *wire.Receipt:
		if c.kind == home.ErrandSignIn && !c.signed {
			break // the service has signed nobody in
		}
		switch a, err := l.o.Store.Account(); {
		case err != nil:
			return err
		case uint64(a.Epoch) < b.Epoch:
			l.askWithin(min(2*time.Second, l.o.Patience)) // a grant was lost, or is on its way
		case c.kind == kindAsk:
			l.settle(nil) // enrolled again, and there was nothing to miss
		}
		return l.receipt(c, m, b)
	case *wire.Refusal:
		return l.refusal(c, m, b)
	}
	l.counts.unexpected.Add(1)
	return nil
}

func (l *Link) enrolled(m *wire.Message, b *wire.Enrolled) error {
	l.mu.Lock()
	o := l.offer
	l.mu.Unlock()
	if o == nil { // a device that speaks the link: it joined through its door, and knows the account already
		l.mu.Lock()
		l.member, l.turned = true, 0
		l.mu.Unlock()
		l.finish(m.Re)
		return nil
	}
	p, id := o.pairing, l.o.Identity
	proof := wire.PairingProof(p.Secret, wire.RoleService, p.Name, id.Name, b.Keys)
	if !wire.Equal(proof, b.Proof) || b.Account != p.Account {
		return fmt.Errorf("enrolled: %w", home.ErrForged)
	}
	if err := b.Notice.Verify(b.Keys, b.Account); err != nil {
		return err
	}
	a := home.Account{
		ID: home.AccountID(b.Account), Email: b.Email, ServiceKey: b.Keys.Sign, ServiceSeal: b.Keys.Seal,
		Notice: b.Notice.Hash(), NoticeEpoch: home.Epoch(b.Notice.Epoch), NoticeJSON: b.Notice.JWS(),
		Brokers: p.Brokers, URL: p.URL,
	}
	if err := l.o.Store.Enrol(a, home.Credential{Epoch: a.NoticeEpoch, Username: b.Email, Password: o.password}); err != nil {
		l.settle(err)
		return err
	}
	l.mu.Lock()
	o.enrolled = true
	l.mu.Unlock()
	l.finish(m.Re)
	l.Rejoin() // with the account's topics
	return nil
}

// settle tells whoever waits in Enrol how it ended.
func (l *Link) settle(err error) {
	l.mu.Lock()
	o := l.offer
	if o != nil && (o.enrolled || err != nil) {
		l.offer = nil
		o.done <- err // buffered, and told once
	}
	l.mu.Unlock()
}

func (l *Link) refusal(c *conversation, m *wire.Message, b *wire.Refusal) error {
	l.o.Log.Warn("account service refused", "what", c.kind, "code", b.Code, "detail", b.Detail)
	switch {
	case c.kind == kindEnrol && l.o.Secret.IsZero():
		l.settle(&home.Error{
			Op: "enrol this hub", Err: fmt.Errorf("refused by the account service: %s", b.Code),
			Hint: "the pairing is used up or too old: sign in again with: rekeyd login",
		})
	case c.kind == kindEnrol: // the hub's word may come any moment
		l.mu.Lock()
		c.deadline = time.Now().Add(min(100*time.Millisecond<<min(l.turned, 12), time.Minute))
		l.turned++
		l.mu.Unlock()
		l.Wake()
	case b.Code == wire.CodeOldEpoch:
		l.askSoon()
	case c.kind == kindAsk && b.Code == wire.CodeUnknown:
		l.mu.Lock()
		l.member = false
		l.trouble = "the account no longer knows this hub: run rekeyd login"
		l.mu.Unlock()
		if l.o.Expelled != nil {
			l.o.Expelled()
		}
	}
	for d := range c.errands {
		l.rest(c, d)
	}
	if c.kind == kindEnrol || c.kind == kindAsk {
		return nil // asked again when its patience has run out
	}
	l.finish(m.Re)
	return nil
}

// grant opens a grant and begins its epoch on disk, with all that follows from it. A grant between what is granted and the newest notice
// is one that was missed: its own signature says enough, and the chain went past it already.
func (l *Link) grant(m *wire.Message, g *wire.Grant, keys wire.Keys) error {
	a, err := l.o.Store.Account()
	if err != nil {
		return err
	}
	if err := g.Notice.Verify(keys, string(a.ID)); err != nil {
		return err
	}
	e := home.Epoch(g.Notice.Epoch)
	switch {
	case e < a.Epoch:
		return fmt.Errorf("grant of epoch %d after %d: %w", e, a.Epoch, home.ErrOldEpoch)
	case e == a.Epoch:
		l.counts.replayed.Add(1) // doubled, or resent because the acknowledgement was lost: acknowledge again
		l.settle(nil)
		return l.o.Store.Queue([]home.Errand{{Kind: home.ErrandAck, Epoch: e, At: time.Now().UTC().Round(0)}})
	case a.Epoch != 0 && e-1 > a.Epoch && !l.asksAs(m.Re):
		l.askSoon() // one in between was lost: whatever it brought may still be held by a device
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
	in, err := l.o.Identity.OpenGrant(g)
	if err != nil {
		return err
	}
	cred := home.Credential{Epoch: e, Username: in.Username, Password: in.Password, EpochSecret: in.Secret}
	stale, err := l.o.Store.BeginEpoch(a.ID, cred, g.Notice.Hash(), g.Notice.JWS())
	if err != nil {
		return err
	}
	l.o.Log.Info("epoch begun", "epoch", e, "stale", stale, "cause", g.Notice.Cause, "via", g.Notice.Via)
	l.settle(nil)
	if l.o.Began != nil {
		l.o.Began(e)
	}
	l.Wake()
	return nil
}

// asksAs tells whether the message of that name is an ask that is open.
func (l *Link) asksAs(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.open[id]
	return ok && c.kind == kindAsk
}

// presence is what a hub's status topic says, retained. A late will may overtake a birth: the higher boot wins.
type presence struct {
	Online  bool   `json:"online"`
	Version string `json:"version"`
	Boot    uint64 `json:"boot,string"`
}

func (l *Link) status(online bool) *mqtt.Message {
	if !l.o.Secret.IsZero() {
		return nil // a device has no status: its hub tells its state
	}
	raw, _ := json.Marshal(presence{online, l.o.Version, l.o.Boot}) // cannot fail
	return &mqtt.Message{Topic: wire.StatusTopic(l.o.Identity.Name), Payload: raw, Retained: true}
}

func (l *Link) will() *mqtt.Message { return l.status(false) }

func (l *Link) birth() []mqtt.Message {
	var ms []mqtt.Message
	if s := l.status(true); s != nil {
		ms = append(ms, *s)
	}
	a, err := l.o.Store.Account()
	if l.o.States != nil && err == nil {
		for _, s := range l.o.States() {
			ms = append(ms, s.message(a.ID))
		}
	}
	return ms
}

// Publish publishes a device's state, retained. Without a connection it returns home.ErrUnavailable: every state is published
// again after the next connect.
func (l *Link) Publish(s DeviceState) error {
	l.mu.Lock()
	conn := l.conn
	l.mu.Unlock()
	if conn == nil {
		return fmt.Errorf("publish state: %w", home.ErrUnavailable)
	}
	a, err := l.o.Store.Account()
	if err != nil {
		return fmt.Errorf("publish state: %w", err)
	}
	return conn.Publish(s.message(a.ID))
}
