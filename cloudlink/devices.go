package cloudlink

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// sendBind reports devices that were bound, with their binding secrets sealed to the service.
func (l *Link) sendBind(now time.Time, a home.Account, r *request, devices []string) error {
	bound, err := l.o.Store.Bound(ids[home.DeviceID](devices))
	if err != nil {
		return err
	}
	secrets, err := l.o.Store.BindingSecrets(ids[home.DeviceID](devices))
	if err != nil {
		return err
	}
	ranks, err := l.o.Store.ProofRanks(ids[home.DeviceID](devices))
	if err != nil {
		return err
	}
	b := &wire.Bind{Account: r.account}
	var plain []byte
	for _, d := range bound {
		secret := secrets[d.ID].Reveal()
		if d.Protocol == home.Native {
			secret = make([]byte, 32) // a native device brings its own
		}
		if len(secret) != 32 {
			continue
		}
		b.Devices = append(b.Devices, wire.Device{
			ID: string(d.ID), Kind: string(d.Kind), Protocol: string(d.Protocol), Rank: uint8(ranks[d.ID]),
			Model: d.Model, Name: d.Name, MAC: macOf(d.Keys),
		})
		plain = append(plain, secret...)
	}
	// A device that was unbound meanwhile has an errand of its own.
	gone := slices.DeleteFunc(slices.Clone(devices), func(id string) bool {
		return slices.ContainsFunc(b.Devices, func(d wire.Device) bool { return d.ID == id })
	})
	if err := l.answered(r, gone); err != nil || len(b.Devices) == 0 {
		return err
	}
	b.Secrets, err = serviceKeys(a).SealTo(wire.SecretInfo(r.account, l.o.Identity.Name), plain)
	if err != nil {
		return err
	}
	return l.start(now, r, func(string) wire.Body { return b })
}

func macOf(keys []string) string {
	for _, k := range keys {
		if len(k) == len("mac:")+12 && k[:4] == "mac:" {
			return k[4:]
		}
	}
	return ""
}

func (l *Link) sendUnbind(now time.Time, _ home.Account, r *request, devices []string) error {
	return l.start(now, r, func(string) wire.Body { return &wire.Unbind{Account: r.account, Devices: devices} })
}

// sendSignIn signs devices in at the account's newest epoch. Errands of an older one are past.
func (l *Link) sendSignIn(now time.Time, a home.Account, r *request, devices []string) error {
	if r.epoch < uint64(a.Epoch) {
		return l.answered(r, devices)
	}
	k, err := l.signInKeys(a, r, devices)
	if err != nil {
		return err
	}
	gone := slices.DeleteFunc(slices.Clone(devices), func(d string) bool {
		_, bound := k.bindings[home.DeviceID(d)]
		return bound
	})
	if err := l.answered(r, gone); err != nil {
		return err
	}
	if !k.complete() || len(r.errands) == 0 {
		l.rest(r, slices.Collect(maps.Keys(r.errands))...) // the grant, or the answer to hello, is outstanding
		return nil
	}
	return l.start(now, r, func(id string) wire.Body { return l.signIn(r, k, id) })
}

// signInKeys are the secrets and nonces from which the proofs of a sign-in are made.
type signInKeys struct {
	nonce    []byte // the service's
	secret   home.Secret
	bindings map[home.DeviceID]home.Key // of those devices that are bound
}

func (k signInKeys) complete() bool { return !k.secret.IsZero() && len(k.nonce) > 0 }

// signInKeys returns the keys for the sign-in of these devices.
func (l *Link) signInKeys(a home.Account, r *request, devices []string) (k signInKeys, err error) {
	l.mu.Lock()
	k.nonce = l.nonce
	l.mu.Unlock()
	if k.secret, err = l.epochSecret(a, home.Epoch(r.epoch)); err != nil {
		return k, err
	}
	k.bindings, err = l.o.Store.BindingSecrets(ids[home.DeviceID](devices))
	return k, err
}

// signIn returns the body of a sign-in with the member's proofs. It keeps the service's proofs, as they have to be,
// in r.
func (l *Link) signIn(r *request, k signInKeys, id string) wire.Body {
	b := &wire.SignIn{Account: r.account, Epoch: r.epoch, MemberNonce: wire.NewNonce(), ServiceNonce: k.nonce}
	r.proofs = make(map[string][]byte, len(r.errands))
	for _, d := range slices.Sorted(maps.Keys(r.errands)) {
		service, member := wire.Attempt{
			Account: r.account, Member: l.o.Identity.Name, Device: d, Request: id, Epoch: r.epoch, MemberNonce: b.MemberNonce,
			ServiceNonce: k.nonce, EpochSecret: k.secret, BindingSecret: k.bindings[home.DeviceID(d)],
		}.Proofs()
		r.proofs[d] = service
		b.Devices = append(b.Devices, wire.Proven{ID: d, Proof: member})
	}
	return b
}

// epochSecret returns the secret of an epoch, or none.
func (l *Link) epochSecret(a home.Account, e home.Epoch) (home.Secret, error) {
	creds, err := l.o.Store.Credentials(a.ID)
	if err != nil {
		return home.Secret{}, err
	}
	for _, c := range creds {
		if c.Epoch == e {
			return c.EpochSecret, nil
		}
	}
	return home.Secret{}, nil
}

// signedIn checks the service's proof for each device, and records the sessions.
func (l *Link) signedIn(r *request, _ *wire.Message, b *wire.SignedIn) error {
	if b.Epoch != r.epoch || b.Account != r.account {
		return home.ErrForged
	}
	l.mu.Lock()
	l.nonce, l.renewed = b.Nonce, false
	l.mu.Unlock()
	var devices []string
	for _, d := range b.Devices {
		proof, asked := r.proofs[d.ID]
		if !asked {
			continue
		}
		// A native device signs itself in, and has no proof for this hub: the service's signature covers the report.
		native := strings.HasPrefix(d.ID, string(wire.RoleDevice)+"-") && d.ID != l.o.Identity.Name
		if !(native && len(d.Proof) == 0) && !wire.Equal(proof, d.Proof) {
			l.drop(forged, "the account service did not prove that it knows "+d.ID, home.ErrForged)
			continue
		}
		devices = append(devices, d.ID)
	}
	if err := l.refused(r, b.Refused); err != nil {
		return err
	}
	l.commit(r, devices)
	l.rest(r, slices.Collect(maps.Keys(r.errands))...) // no answer, or none that holds
	l.finish(r)                                        // the next request goes out while this one is committed
	ds, epoch := ids[home.DeviceID](devices), home.Epoch(r.epoch)
	var err error
	if len(devices) > 0 {
		err = l.o.Store.SignedIn(home.AccountID(r.account), epoch, ds)
	}
	l.mu.Lock()
	for _, d := range ds {
		delete(l.committing, errandKey{r.kind, d})
	}
	l.mu.Unlock()
	l.Wake() // an errand may have been queued anew meanwhile; after an error all are still in the store
	if err != nil {
		return err
	}
	if l.o.SignedIn != nil && len(ds) > 0 {
		l.o.SignedIn(epoch, ds)
	}
	return nil
}

// receipt ends a request: its change is on the service's disk.
func (l *Link) receipt(r *request, _ *wire.Message, b *wire.Receipt) error {
	a, err := l.o.Store.Account()
	if err != nil {
		return err
	}
	if uint64(a.Epoch) < b.Epoch {
		l.askWithin(min(2*time.Second, l.o.Patience)) // a grant was lost, or is on its way
	}
	if r.kind == home.ErrandAck {
		if err := l.acknowledged(r); err != nil {
			return err
		}
	}
	asked := slices.Collect(maps.Keys(r.errands))
	if err := l.refused(r, b.Refused); err != nil {
		return err
	}
	if err := l.answered(r, without(asked, b.Refused)); err != nil {
		return err
	}
	if r.kind == home.ErrandBind {
		l.renewSoon() // the list has these now, or another hub holds them
	}
	l.finish(r)
	return nil
}

// refused handles the devices that the service refused.
func (l *Link) refused(r *request, os []wire.Outcome) error {
	for _, o := range os {
		e, ok := r.errands[o.ID]
		if !ok {
			continue
		}
		now := time.Now().UTC().Round(0)
		switch {
		case o.Code == wire.CodeUnknown && r.kind == home.ErrandSignIn:
			// The service does not know the device: bind it there first.
			if err := l.o.Store.Queue([]home.Errand{{Kind: home.ErrandBind, Device: e.Device, At: now}}); err != nil {
				return err
			}
			l.rest(r, o.ID)
		case o.Code == wire.CodeHeld: // the list names the hub
			l.forgetList()
			if err := l.answered(r, []string{o.ID}); err != nil {
				return err
			}
		case o.Code == wire.CodeForeign && r.kind == home.ErrandBind,
			o.Code == wire.CodeUnknown && r.kind == home.ErrandUnbind:
			l.o.Log.Warn("device refused by the account", "device", e.Device, "code", o.Code)
			ev := home.Event{At: now, What: "device not taken by the account", Device: e.Device, Detail: o.Code}
			if err := l.o.Store.Record(ev); err != nil {
				return err
			}
			if err := l.answered(r, []string{o.ID}); err != nil {
				return err
			}
		default:
			l.o.Log.Warn("device refused", "request", r.kind, "device", e.Device, "code", o.Code)
			l.rest(r, o.ID)
			if o.Code == wire.CodeOldEpoch {
				l.askSoon()
			}
		}
	}
	return nil
}

func ids[T ~string](ss []string) []T {
	out := make([]T, len(ss))
	for i, s := range ss {
		out[i] = T(s)
	}
	return out
}

func without(ss []string, refused []wire.Outcome) []string {
	return slices.DeleteFunc(slices.Clone(ss), func(s string) bool {
		return slices.ContainsFunc(refused, func(o wire.Outcome) bool { return o.ID == s })
	})
}
