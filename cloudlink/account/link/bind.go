package link

import (
	"bytes"
	"strings"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// bind takes devices into the account. A device has one holder. Another hub of the account takes it over by binding it,
// once the lease of the holder has ended.
func (r *request) bind(b *wire.Bind) ([]wire.Body, error) {
	l := r.l
	if no := r.foreign(b.Account); no != nil {
		return no, nil
	}
	secrets, err := l.id.Open(wire.SecretInfo(b.Account, r.from.Name), b.Secrets)
	if err != nil || len(secrets) != 32*len(b.Devices) || !r.from.IsHub() {
		l.dropped("forged", r.from.Name, err)
		return refuse(wire.CodeForged, "the binding secrets cannot be opened"), nil
	}
	var ds []account.Device
	var forged []wire.Outcome
	for i, d := range b.Devices {
		dev := account.Device{Device: d}
		secret := secrets[32*i : 32*i+32]
		native := strings.HasPrefix(d.ID, string(wire.RoleDevice)+"-")
		if dev.Native() != native || !native && bytes.Equal(secret, make([]byte, 32)) {
			forged = append(forged, wire.Outcome{ID: d.ID, Code: wire.CodeForged})
			continue
		}
		if !native {
			dev.Secret = home.KeyBytes(secret)
		}
		ds = append(ds, dev)
	}
	refused, err := l.st.Bind(r.pos, ds, account.MaxDevices)
	if err != nil {
		return nil, err
	}
	l.s.Changes.Add(b.Account)
	return r.receipt(append(forged, refused...))
}

// unbind takes devices out of the account. Any hub of the account may.
func (r *request) unbind(b *wire.Unbind) ([]wire.Body, error) {
	if no := r.foreign(b.Account); no != nil {
		return no, nil
	}
	if !r.from.IsHub() {
		return refuse(wire.CodeForeign, "a hub does this"), nil
	}
	refused, err := r.l.st.Unbind(r.pos, b.Account, b.Devices)
	if err != nil {
		return nil, err
	}
	r.l.s.Changes.Add(b.Account)
	return r.receipt(refused)
}
