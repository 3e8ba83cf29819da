package storetest

import (
	"sync"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// The same hardware address in two accounts is two devices: binding it in one neither blocks nor reveals anything in
// the other.
func devicesAreScopedByAccount(r *rig) {
	a, b := r.account("anna"), r.account("bob")
	annas, bobs := r.hub(a), r.hub(b)
	mine, theirs := plug("mac-50c7bf010203"), plug("mac-50c7bf010203")
	theirs.Name, theirs.Secret = "theirs", home.KeyBytes([]byte("another binding secret"))
	r.bind(annas, mine)
	r.bind(bobs, theirs)
	refused, err := r.s.SignIn(r.message(annas), "anna", 1, named(mine.ID))
	r.must(err)
	r.equal("refused", len(refused), 0)
	for id, want := range map[string]account.Device{"anna": mine, "bob": theirs} {
		d, err := r.s.Device(id, mine.ID)
		r.must(err)
		r.equal("name", d.Name, want.Name)
		r.equal("secret", d.Secret.Reveal(), want.Secret.Reveal())
		r.equal("account", d.Account, id)
	}
	d, err := r.s.Device("bob", mine.ID)
	r.must(err)
	r.equal("signed in", d.SignedIn, 0)
	_, err = r.s.Unbind(r.message(bobs), "bob", []string{mine.ID})
	r.must(err)
	r.fails(second(r.s.Device("bob", mine.ID)), home.ErrNotFound)
	d, err = r.s.Device("anna", mine.ID)
	r.must(err)
	r.equal("signed in", d.SignedIn, 1)
	refused, err = r.s.Unbind(account.Position{}, "bob", []string{mine.ID})
	r.must(err)
	r.equal("refused", refused, []wire.Outcome{{ID: mine.ID, Code: wire.CodeUnknown}})
}

// A sign-in proves one binding secret. It outlives a new name and a new hub, and not a new secret.
func anotherBindingSecretVoidsASignIn(r *rig) {
	a := r.account("anna")
	first, second := r.hub(a), r.hub(a)
	p := plug("p")
	r.bind(first, p)
	signedIn := func(want uint64) {
		r.Helper()
		d, err := r.s.Device("anna", "p")
		r.must(err)
		r.equal("signed in", d.SignedIn, want)
	}
	_, err := r.s.SignIn(r.message(first), "anna", 1, named("p"))
	r.must(err)
	signedIn(1)
	p.Name = "renamed"
	r.bind(first, p)
	signedIn(1)
	r.release(first)
	r.bind(second, p) // another hub takes it over
	signedIn(1)
	d, err := r.s.Device("anna", "p")
	r.must(err)
	r.equal("holder", d.Holder, second)
	r.equal("name", d.Name, "renamed")
	p.Secret = home.KeyBytes([]byte("another binding secret"))
	r.bind(second, p)
	signedIn(0)
}

// named returns devices of which only the IDs are known: none was viewed.
func named(ids ...string) []account.Device {
	ds := make([]account.Device, len(ids))
	for i, id := range ids {
		ds[i].ID = id
	}
	return ds
}

// A sign-in is checked against a view and stored later. A device that another hub has bound in between, or that was
// unbound, is refused.
func aViewedDeviceIsSignedInUnlessItChangedHandsSince(r *rig) {
	a := r.account("anna")
	first, second := r.hub(a), r.hub(a)
	r.bind(first, plug("p"))
	r.bind(first, plug("q"))
	v, err := r.s.View(first, []string{"p", "q"})
	r.must(err)
	viewed := []account.Device{v.Devices["p"], v.Devices["q"]}
	refused, err := r.s.SignIn(r.message(first), "anna", 1, viewed)
	r.must(err)
	r.equal("refused", len(refused), 0)
	r.release(first)
	r.bind(second, plug("p"))
	_, err = r.s.Unbind(r.message(first), "anna", []string{"q"})
	r.must(err)
	refused, err = r.s.SignIn(r.message(first), "anna", 1, viewed)
	r.must(err)
	r.equal("refused", refused, []wire.Outcome{{ID: "p", Code: wire.CodeForeign}, {ID: "q", Code: wire.CodeUnknown}})
}

// A hub signs in the devices that it has bound and no others of its account, and only at the newest epoch.
func onlyItsHolderSignsADeviceIn(r *rig) {
	a := r.account("anna")
	first, other := r.hub(a), r.hub(a)
	r.bind(first, plug("p"))
	cam := r.identity(wire.RoleDevice)
	r.must(r.s.Enrol(r.native(a, first, cam)))
	refused, err := r.s.SignIn(r.message(other), "anna", 1, named("p", cam.Name))
	r.must(err)
	r.equal("refused", refused, []wire.Outcome{{ID: "p", Code: wire.CodeForeign}, {ID: cam.Name, Code: wire.CodeForeign}})
	refused, err = r.s.SignIn(r.message(cam.Name), "anna", 1, named(cam.Name, "p"))
	r.must(err)
	r.equal("refused", refused, []wire.Outcome{{ID: "p", Code: wire.CodeForeign}})
	a = r.begin(a)
	_, err = r.s.SignIn(r.message(first), "anna", 1, named("p"))
	r.fails(err, account.ErrEpoch)
	_, err = r.s.SignIn(r.message(first), "anna", a.Epoch+1, named("p"))
	r.fails(err, account.ErrEpoch)
}

// One account cannot fill the disk: devices beyond the limit are refused one by one, with CodeBusy. Binding a known one
// again counts nothing.
func anAccountHasABoundedNumberOfDevices(r *rig) {
	hub := r.hub(r.account("anna"))
	refused, err := r.s.Bind(r.message(hub), []account.Device{plug("a"), plug("b"), plug("c")}, 2)
	r.must(err)
	r.equal("refused", refused, []wire.Outcome{{ID: "c", Code: wire.CodeBusy}})
	refused, err = r.s.Bind(r.message(hub), []account.Device{plug("b"), plug("d")}, 2) // b is bound already
	r.must(err)
	r.equal("refused", refused, []wire.Outcome{{ID: "d", Code: wire.CodeBusy}})
	ds, err := r.s.Devices("anna")
	r.must(err)
	if len(ds) != 2 || ds[0].Device != plug("a").Device || ds[1].ID != "b" || !ds[0].Secret.IsZero() {
		r.Errorf("devices %v", ds)
	}
}

// aViewIsOfOneInstant reads while epochs begin: the secret in a view is that of its epoch.
func aViewIsOfOneInstant(r *rig) {
	a := r.account("anna")
	hub := r.hub(a)
	r.bind(hub, plug("p"))
	const epochs = 20
	secrets := map[uint64]string{1: a.Secret.Reveal()}
	var turns []account.EpochChange
	for range epochs {
		t := r.change(a)
		a = t.Account
		secrets[a.Epoch] = a.Secret.Reveal()
		turns = append(turns, t)
	}
	var wg sync.WaitGroup
	begun := make(chan struct{})
	wg.Go(func() {
		defer close(begun)
		for _, t := range turns {
			if err := r.s.BeginEpoch(t); err != nil {
				r.Error(err)
			}
		}
	})
	for range 4 {
		wg.Go(func() {
			for epoch, last := uint64(0), false; !last; {
				select {
				case <-begun:
					last = true // one more look
				default:
				}
				v, err := r.s.View(hub, []string{"p", "unknown"})
				if err != nil || len(v.Devices) != 1 || v.Devices["p"].Secret.IsZero() || v.Member.Name != hub {
					r.Errorf("view %+v, %v", v, err)
					return
				}
				a := v.Account
				if a.Epoch < epoch || a.Secret.Reveal() != secrets[a.Epoch] || a.Notice.Epoch != a.Epoch {
					r.Errorf("epoch %d after %d, with another's secret or notice", v.Account.Epoch, epoch)
					return
				}
				epoch = v.Account.Epoch
				if last && epoch != epochs+1 {
					r.Errorf("epoch %d at the end", epoch)
				}
			}
		})
	}
	wg.Wait()
}
