package link

import (
	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// signIn checks the proof for each device, and answers with the service's own or a reason. Epoch, secret, member and
// devices are read at one instant; the store compares the epoch again when it records the sign-ins. Nothing is kept
// between two messages.
func (r *request) signIn(b *wire.SignIn) ([]wire.Body, error) {
	l := r.l
	if no := r.foreign(b.Account); no != nil {
		return no, nil
	}
	ids := make([]string, len(b.Devices))
	for i, d := range b.Devices {
		ids[i] = d.ID
	}
	v, err := l.st.View(r.from.Name, ids)
	if err != nil {
		return nil, err
	}
	a, now := v.Account, l.s.Now()
	if b.Epoch != a.Epoch {
		return nil, account.ErrEpoch
	}
	nonce := l.id.SignInNonce(a.ID, r.from.Name, a.Epoch, now)
	// A repeated request was checked when it came first.
	if !r.repeated && !l.id.CheckSignInNonce(b.ServiceNonce, a.ID, r.from.Name, a.Epoch, now) {
		return []wire.Body{&wire.Refusal{Code: wire.CodeNonce, Detail: "the nonce has expired", Nonce: nonce}}, nil
	}
	if len(b.MemberNonce) != 32 {
		l.dropped("forged", r.from.Name, nil)
		return refuse(wire.CodeForged, "a nonce of 32 bytes is needed"), nil
	}
	answer := &wire.SignedIn{Account: a.ID, Epoch: a.Epoch, Nonce: nonce, Devices: make([]wire.Proven, 0, len(b.Devices))}
	proven := make([]account.Device, 0, len(b.Devices))
	proofs := make(map[string][]byte, len(b.Devices))
	for _, d := range b.Devices {
		dev := v.Devices[d.ID]
		code := r.mayNotSignIn(dev)
		if code == "" && dev.Native() && dev.ID != r.from.Name { // it signs itself in
			if dev.SignedIn == a.Epoch {
				answer.Devices = append(answer.Devices, wire.Proven{ID: d.ID})
				continue
			}
			code = wire.CodeWaiting
		}
		if code == "" {
			service, member := wire.Attempt{
				Account: a.ID, Member: r.from.Name, Device: d.ID, Request: r.m.ID, Epoch: a.Epoch, MemberNonce: b.MemberNonce,
				ServiceNonce: b.ServiceNonce, EpochSecret: a.Secret, BindingSecret: dev.Secret,
			}.Proofs()
			switch {
			case dev.Secret.IsZero():
				code = wire.CodeUnknown
			case !wire.Equal(member, d.Proof):
				l.dropped("forged", r.from.Name, nil)
				code = wire.CodeForged
			default:
				proven, proofs[d.ID] = append(proven, dev), service
				continue
			}
		}
		answer.Refused = append(answer.Refused, wire.Outcome{ID: d.ID, Code: code})
	}
	refused, err := l.st.SignIn(r.pos, a.ID, a.Epoch, proven)
	if err != nil {
		return nil, err
	}
	for _, o := range refused {
		delete(proofs, o.ID)
	}
	answer.Refused = append(answer.Refused, refused...)
	for _, d := range proven {
		if p, ok := proofs[d.ID]; ok {
			answer.Devices = append(answer.Devices, wire.Proven{ID: d.ID, Proof: p})
		}
	}
	l.s.Changes.Add(a.ID)
	return []wire.Body{answer}, nil
}

// mayNotSignIn returns why the member may not sign a device in; empty when it may: a hub for what it holds, a device
// for itself.
func (r *request) mayNotSignIn(d account.Device) string {
	switch {
	case d.ID == "":
		return wire.CodeUnknown
	case d.Holder != r.from.Name && d.ID != r.from.Name:
		return wire.CodeForeign
	}
	return ""
}
