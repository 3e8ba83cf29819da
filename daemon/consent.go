package daemon

import (
	"errors"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// The consents of an owner: to whom a password may go that proved nothing (daemon/DESIGN.md, section 6).

// allowFresh gives a device the factory-fresh consent, on disk.
func (r *Rekeyer) allowFresh(id home.DeviceID) error {
	return r.consent(id, func(c *home.Consents, _ home.Device) {
		c.FreshUntil = time.Now().UTC().Round(0).Add(home.FreshTime)
	})
}

// AllowCleartext records that devices may receive passwords nearly in the clear, each by its protocol and at its
// address of this moment, and moves those that are stale. Devices that are not bound are home.ErrNotFound.
func (r *Rekeyer) AllowCleartext(ids []home.DeviceID) error {
	return r.cleartext(ids, func(c *home.Consents, d home.Device) {
		c.Cleartext = home.CleartextConsent{Protocol: d.Protocol, Addr: d.Addr.Addr()}
	})
}

// ForbidCleartext withdraws the consent of AllowCleartext.
func (r *Rekeyer) ForbidCleartext(ids []home.DeviceID) error {
	return r.cleartext(ids, func(c *home.Consents, _ home.Device) { c.Cleartext = home.CleartextConsent{} })
}

// RekeyAll moves every device, also those that wait because somebody else may know the password that they hold.
func (r *Rekeyer) RekeyAll() error {
	h, err := r.o.Ledger.House()
	if err != nil {
		return err
	}
	var ids []home.DeviceID
	for _, b := range h.Bindings {
		ids = append(ids, b.Device)
	}
	if err := r.allowExposed(h.Account, ids); err != nil {
		return err
	}
	return r.Rekey(nil, false)
}

// allowExposed records that devices may be moved although somebody else may know what they hold: until the owner
// reports that again.
func (r *Rekeyer) allowExposed(a home.Account, ids []home.DeviceID) error {
	if a.Exposed == 0 {
		return nil
	}
	consents := map[home.DeviceID]home.Consents{}
	for _, id := range ids {
		b, err := r.o.Ledger.Binding(id)
		if errors.Is(err, home.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		b.Consents.Exposed = a.Exposed
		consents[id] = b.Consents
	}
	return r.o.Ledger.Consent(consents)
}

// cleartext changes the consents of bound devices, and probes these devices at once.
func (r *Rekeyer) cleartext(ids []home.DeviceID, change func(*home.Consents, home.Device)) error {
	hint := "bind it with: rekeyd bind --allow-cleartext-bind DEVICE"
	if err := r.bound("allow passwords in the clear", hint, ids); err != nil {
		return err
	}
	for _, id := range ids {
		if err := r.consent(id, change); err != nil {
			return err
		}
	}
	if len(ids) == 0 {
		return nil
	}
	r.reports.add(ids...)
	return r.restartTries(ids, true, false)
}

// consent changes the consents of a bound device.
func (r *Rekeyer) consent(id home.DeviceID, change func(*home.Consents, home.Device)) error {
	d, ok := r.o.Roster.Device(id)
	if !ok {
		return notFound("allow", id)
	}
	b, err := r.o.Ledger.Binding(id)
	if err != nil {
		return err
	}
	change(&b.Consents, d)
	return r.o.Ledger.Consent(map[home.DeviceID]home.Consents{id: b.Consents})
}

// needsConsent reports whether the device proves nothing when it receives a password, and its owner has not allowed
// that: by its protocol, or because it is a camera with old firmware, which a probe found unsupported.
func (s sight) needsConsent(v home.Verdict) bool {
	if s.device.Protocol.Info().OwnLogin && s.account.Provider != home.TPLink {
		return false // it holds no password of this account
	}
	old := s.device.Protocol == home.TapoCam && v.State == home.Unsupported
	return s.account.ID != "" && (s.device.Protocol.Cleartext() || old) && !s.binding.Consents.Cleartext.For(s.device)
}
