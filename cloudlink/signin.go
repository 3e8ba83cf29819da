package cloudlink

import (
	"maps"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// bind tells the service of devices that were bound, with their binding secrets sealed to it.
func (l *Link) bind(now time.Time, a home.Account, c *conversation, devices []string) error {
	bound, err := l.o.Store.Bound(ids[home.DeviceID](devices))
	if err != nil {
		return err
	}
	secrets, err := l.o.Store.BindingSecrets(ids[home.DeviceID](devices))
	if err != nil {
		return err
	}
	b := &wire.Bind{Account: c.account}
	var plain []byte
	for _, d := range bound {
		secret := []byte(secrets[d.ID].Reveal())
		if d.Protocol == home.Native {
			secret = make([]byte, 32) // its own secret is its own affair
		}
		if len(secret) != 32 {
			continue
		}
		b.Devices = append(b.Devices, wire.Device{
			ID: string(d.ID), Kind: string(d.Kind), Protocol: string(d.Protocol), Model: d.Model, Name: d.Name, MAC: macOf(d.Keys),
		})
		plain = append(plain, secret...)
	}
	// What was unbound meanwhile needs no telling.
	gone := slices.DeleteFunc(slices.Clone(devices), func(id string) bool {
		return slices.ContainsFunc(b.Devices, func(d wire.Device) bool { return d.ID == id })
	})
	if err := l.answered(c, gone); err != nil || len(b.Devices) == 0 {
		return err
	}
	b.Secrets, err = serviceKeys(a).SealTo(wire.SecretInfo(c.account, l.o.Identity.Name), plain)
	if err != nil {
		return err
	}
	l.start(now, c, b)
	return nil
}

func macOf(keys []string) string {
	for _, k := range keys {
		if len(k) == len("mac:")+12 && k[:4] == "mac:" {
			return k[4:]
		}
	}
	return ""
}

// signIn begins the sign-in of devices at the account's newest epoch. Errands of an older one are past.
func (l *Link) signIn(now time.Time, a home.Account, c *conversation, devices []string) error {
	if c.epoch < uint64(a.Epoch) {
		return l.answered(c, devices)
	}
	secret, err := l.epochSecret(a, home.Epoch(c.epoch))
	if err != nil {
		return err
	}
	bindings, err := l.o.Store.BindingSecrets(ids[home.DeviceID](devices))
	if err != nil {
		return err
	}
	b := &wire.Begin{Account: c.account, Epoch: c.epoch}
	c.signs = make(map[string]*wire.SignIn, len(devices))
	var gone []string
	for _, d := range devices {
		binding, ok := bindings[home.DeviceID(d)]
		if !ok {
			gone = append(gone, d)
			continue
		}
		s := &wire.SignIn{
			Account: c.account, Member: l.o.Identity.Name, Device: d, Epoch: c.epoch,
			MemberNonce: wire.NewNonce(), EpochSecret: secret, BindingSecret: binding,
		}
		c.signs[d] = s
		b.Devices = append(b.Devices, wire.Nonce{ID: d, Nonce: s.MemberNonce})
	}
	if err := l.answered(c, gone); err != nil {
		return err
	}
	if secret.IsZero() || len(b.Devices) == 0 {
		for d := range c.errands {
			l.rest(c, d) // the grant is outstanding
		}
		return nil
	}
	l.start(now, c, b)
	return nil
}

// epochSecret returns the secret of an epoch, or none.
func (l *Link) epochSecret(a home.Account, e home.Epoch) (home.Secret, error) {
	creds, err := l.o.Store.Credentials(a.ID)
	if err != nil {
		return home.Secret{}, err
	}
	for _, cr := range creds {
		if cr.Epoch == e {
			return cr.EpochSecret, nil
		}
	}
	return home.Secret{}, nil
}

// challenged checks the service's proofs, and only then gives the member's own.
func (l *Link) challenged(c *conversation, m *wire.Message, b *wire.Challenge) error {
	p := &wire.Proof{Account: c.account, Epoch: c.epoch}
	var own []string
	for _, ch := range b.Devices {
		s, ok := c.signs[ch.ID]
		switch {
		case !ok || s.ServiceNonce != nil:
			continue
		case ch.Own && ch.SignedIn:
			own = append(own, ch.ID)
			continue
		case ch.Own:
			l.rest(c, ch.ID) // it signs in for itself, and has not yet
			continue
		}
		s.ServiceNonce = ch.Nonce
		service, member := s.Proofs()
		if len(ch.Nonce) != 32 || !wire.Equal(service, ch.Proof) {
			l.drop(&l.counts.forged, "the account service did not prove that it knows "+ch.ID, home.ErrForged)
			delete(c.signs, ch.ID) // no session can follow
			l.rest(c, ch.ID)
			continue
		}
		p.Devices = append(p.Devices, wire.Proven{ID: ch.ID, Proof: member})
	}
	if err := l.refused(c, b.Refused); err != nil {
		return err
	}
	if len(own) > 0 {
		if err := l.signedIn(c, own); err != nil {
			return err
		}
		if err := l.answered(c, own); err != nil {
			return err
		}
	}
	if len(p.Devices) == 0 {
		l.finish(m.Re)
		return nil
	}
	l.follow(c, m.Re, m.ID, p)
	return nil
}

// session records who is signed in, and confirms it.
func (l *Link) session(c *conversation, m *wire.Message, b *wire.Session) error {
	var devices []string
	for _, d := range b.Devices {
		if s, ok := c.signs[d]; ok && s.ServiceNonce != nil {
			devices = append(devices, d)
		}
	}
	if err := l.refused(c, b.Refused); err != nil {
		return err
	}
	if len(devices) == 0 {
		l.finish(m.Re)
		return nil
	}
	if err := l.signedIn(c, devices); err != nil {
		return err
	}
	for d := range c.signs {
		if !slices.Contains(devices, d) {
			delete(c.signs, d)
		}
	}
	c.signed = true
	l.follow(c, m.Re, m.ID, &wire.Confirm{Account: c.account, Epoch: c.epoch, Devices: devices})
	return nil
}

func (l *Link) signedIn(c *conversation, devices []string) error {
	ds := ids[home.DeviceID](devices)
	if err := l.o.Store.SignedIn(home.AccountID(c.account), home.Epoch(c.epoch), ds); err != nil {
		return err
	}
	if l.o.SignedIn != nil {
		l.o.SignedIn(home.Epoch(c.epoch), ds)
	}
	return nil
}

// receipt ends a conversation: what it told is on the service's disk.
func (l *Link) receipt(c *conversation, m *wire.Message, b *wire.Receipt) error {
	var told []string
	if c.kind == home.ErrandSignIn {
		told = slices.Collect(maps.Keys(c.signs))
	} else {
		told = slices.Collect(maps.Keys(c.errands))
	}
	if err := l.refused(c, b.Refused); err != nil {
		return err
	}
	err := l.answered(c, without(told, b.Refused))
	l.finish(m.Re)
	return err
}

// refused deals with the devices that the service did not take.
func (l *Link) refused(c *conversation, os []wire.Outcome) error {
	for _, o := range os {
		e, ok := c.errands[o.ID]
		if !ok {
			continue
		}
		now := time.Now().UTC().Round(0)
		switch {
		case o.Code == wire.CodeUnknown && c.kind == home.ErrandSignIn:
			// The service has forgotten it, or never heard: tell it first.
			if err := l.o.Store.Queue([]home.Errand{{Kind: home.ErrandBind, Device: e.Device, At: now}}); err != nil {
				return err
			}
			l.rest(c, o.ID)
		case o.Code == wire.CodeForeign && c.kind == home.ErrandBind, o.Code == wire.CodeUnknown && c.kind == home.ErrandUnbind:
			l.o.Log.Warn("device not taken by the account", "device", e.Device, "code", o.Code)
			ev := home.Event{At: now, What: "device not taken by the account", Device: e.Device, Detail: o.Code}
			if err := l.o.Store.Record(ev); err != nil {
				return err
			}
			if err := l.answered(c, []string{o.ID}); err != nil {
				return err
			}
		default:
			l.o.Log.Warn("sign-in refused", "device", e.Device, "code", o.Code)
			l.rest(c, o.ID)
			if o.Code == wire.CodeOldEpoch {
				l.askSoon()
			}
		}
	}
	return nil
}

// Ask has the link ask the service at once what it has missed. It never blocks.
func (l *Link) Ask() { l.askSoon() }

func (l *Link) askSoon() {
	l.mu.Lock()
	l.asked = time.Time{}
	l.mu.Unlock()
	l.Wake()
}

func (l *Link) finish(id string) {
	l.mu.Lock()
	l.end(id)
	l.mu.Unlock()
	l.Wake()
}
