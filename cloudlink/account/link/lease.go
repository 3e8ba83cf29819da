package link

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// lease renews the lease of a hub, and then lists the hubs and devices of the account: a hub whose lease is renewed
// loses no device for a term, so the list still holds when it arrives. A hub that is silent is asked for a renewal: it
// may not know yet that the account has another one.
func (r *request) lease(b *wire.Lease) ([]wire.Body, error) {
	if no := r.foreign(b.Account); no != nil {
		return no, nil
	}
	if !r.from.IsHub() {
		return refuse(wire.CodeForeign, "a hub does this"), nil
	}
	hubs, err := r.l.st.RenewLease(r.pos, b.Release)
	if err != nil {
		return nil, err
	}
	for _, h := range hubs {
		if h.Live && h.Silent > 2*wire.LeaseEvery {
			err := r.l.send(h.Name, "", &wire.Leased{Account: b.Account})
			if err != nil && !errors.Is(err, home.ErrUnavailable) {
				r.l.o.Log.Warn("hub not asked for its lease", "hub", h.Name, "err", err)
			}
		}
	}
	ds, err := r.l.st.Devices(b.Account)
	if err != nil {
		return nil, err
	}
	return []wire.Body{leased(b, hubs, ds)}, nil
}

// leased answers a hub with the page of the list that it asks for: the first, unless it has this revision.
func leased(b *wire.Lease, hubs []account.HubLease, ds []account.Device) *wire.Leased {
	answer := &wire.Leased{Account: b.Account}
	if len(hubs) > wire.MaxHubs {
		slices.SortStableFunc(hubs, func(a, b account.HubLease) int { return cmp.Compare(a.Silent, b.Silent) })
		hubs = hubs[:wire.MaxHubs]
	}
	for _, h := range hubs {
		answer.Hubs = append(answer.Hubs, wire.Sharer{ID: h.Name, Label: h.Label, Live: h.Live})
	}
	all := make([]wire.Held, len(ds))
	for i, d := range ds {
		all[i] = wire.Held{ID: d.ID, Hub: d.Holder, MAC: d.MAC, Rank: d.Rank, SignedIn: d.SignedIn}
	}
	slices.SortFunc(all, func(a, b wire.Held) int { return cmp.Compare(a.ID, b.ID) })
	answer.Revision = revision(answer.Hubs, all)
	if b.After == "" && b.Revision == answer.Revision {
		return answer
	}
	from, found := slices.BinarySearchFunc(all, b.After, func(d wire.Held, id string) int { return cmp.Compare(d.ID, id) })
	if found {
		from++
	}
	all = all[from:]
	if answer.More = len(all) > wire.MaxDevices; answer.More {
		all = all[:wire.MaxDevices]
	}
	answer.Devices = all
	return answer
}

// revision identifies a list.
func revision(hubs []wire.Sharer, ds []wire.Held) string {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(hubs) // neither can fail
	_ = json.NewEncoder(h).Encode(ds)
	return hex.EncodeToString(h.Sum(nil)[:16])
}
