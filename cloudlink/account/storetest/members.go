package storetest

import (
	"errors"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// A word that was read over somebody's shoulder admits one hub, and its owner is informed which.
func oneOfManyHubsUsesAPairing(r *rig) {
	a := r.account("anna")
	first := r.enrolment(a)
	all := make([]account.Enrolment, 30)
	for i := range all {
		all[i] = r.enrolment(a)
		all[i].Pairing = first.Pairing
	}
	r.equal("winners", r.race(account.ErrUsed, func(i int) error { return r.s.Enrol(all[i]) }), 1)
	ms, err := r.s.Members("anna")
	r.must(err)
	if len(ms) != 1 {
		r.Fatalf("%d members", len(ms))
	}
	p, err := r.s.Pairing(first.Pairing)
	r.must(err)
	r.equal("used by", p.Used, ms[0].Name)
	r.equal("secret", p.Secret.Reveal()+p.Password.Reveal(), "wordpw")
	for _, e := range all { // the answer may have been lost
		if e.Member.Name == ms[0].Name {
			r.must(r.s.Enrol(e))
		}
	}
	es, err := r.s.History("anna")
	r.must(err)
	enrolled := 0
	for _, e := range es {
		if e.What == "hub enrolled" {
			enrolled++
		}
	}
	r.equal("enrolments in the history", enrolled, 1)
	unknown := r.enrolment(a)
	unknown.Pairing = "unknown"
	r.fails(r.s.Enrol(unknown), account.ErrUsed)
	r.account("bob")
	foreign := r.enrolment(a)
	foreign.Member.Account, foreign.Grant.Notice = "bob", r.notice("bob", 1, nil)
	r.fails(r.s.Enrol(foreign), account.ErrUsed)
}

// A repeated enrolment of the same keys is the same hub: no second mail, no second record.
func aNewHubIsReportedOnce(r *rig) {
	a := r.account("anna")
	reset := link(account.PurposeReset, "anna", 1, "reset")
	r.must(r.s.OfferReset(reset, mail.Mail{}, account.Event{}))
	e := r.enrolment(a)
	e.Mail = letter("anna", "a new hub")
	e.Disown = link(account.PurposeDisown, "anna", 1, "disown hub")
	r.must(r.s.Enrol(e))
	again := e // the answer was lost
	again.Disown.Key = "disown again"
	r.must(r.s.Enrol(again))
	n, err := r.s.WaitingMails()
	r.must(err)
	r.equal("mails", n, 1)
	_, err = r.s.MailLink("disown again")
	r.fails(err, home.ErrNotFound)
	_, err = r.s.MailLink("reset")
	r.must(err) // a new hub does not end the owner's reset
	next := r.change(a)
	next.AllLinks = true
	r.must(r.s.BeginEpoch(next))
	_, err = r.s.MailLink("disown hub")
	r.fails(err, home.ErrNotFound)
}

// A hub cannot enrol with the grant of an epoch that has ended meanwhile: it would hold an old password as the newest.
func anEnrolmentIsOfTheNewestEpoch(r *rig) {
	a := r.account("anna")
	e := r.enrolment(a)
	next := r.begin(a)
	r.fails(r.s.Enrol(e), account.ErrEpoch)
	e.Grant.Notice = next.Notice
	r.must(r.s.Enrol(e))
	got, err := r.s.Member(e.Member.Name)
	r.must(err)
	r.equal("member", got, e.Member)
	// A hub of a backup counts from an older number again: with its own pairing it is a replay, with a new one not.
	r.bind(e.Member.Name, plug("p"))
	r.bind(e.Member.Name, plug("q"))
	r.fails(r.s.Enrol(e), account.ErrReplayed)
	fresh := r.enrolment(next)
	e.Pairing = fresh.Pairing
	r.must(r.s.Acknowledge(r.message(e.Member.Name), r.ack(e.Member.Name, 2, nil)))
	r.must(r.s.Enrol(e))
	seq, err := r.s.LastSeq(e.Member.Name)
	r.must(err)
	r.equal("sequence number", seq, 1)
	got, err = r.s.Member(e.Member.Name)
	r.must(err)
	r.equal("acknowledged, as long as the hub of the backup has no grant", got.Acked, 0)
}

// native binds a native device to a hub, and returns its enrolment.
func (r *rig) native(a account.Account, hub string, id *wire.Identity) account.Enrolment {
	r.Helper()
	d := account.Device{Device: wire.Device{ID: id.Name, Kind: "camera", Protocol: string(home.Native)}}
	r.bind(hub, d)
	return account.Enrolment{
		Member: account.Member{Name: id.Name, Account: a.ID, Keys: id.Keys, Label: "front door", At: start},
		Seq:    1, Secret: home.KeyBytes([]byte("binding secret of a native device")),
		Grant: account.Grant{Member: id.Name, Notice: a.Notice, Sealed: []byte("sealed")},
		Event: account.Event{At: start, What: "device enrolled"},
	}
}

// A native device is a member of the account that bound it, and of no other.
func aNativeDeviceEnrolsWhereItIsBound(r *rig) {
	a, b := r.account("anna"), r.account("bob")
	cam := r.identity(wire.RoleDevice)
	e := r.native(a, r.hub(a), cam)
	elsewhere := e
	elsewhere.Member.Account, elsewhere.Grant.Notice = "bob", b.Notice
	r.fails(r.s.Enrol(elsewhere), home.ErrNotFound)
	r.must(r.s.Enrol(e))
	d, err := r.s.Device("anna", cam.Name)
	r.must(err)
	r.equal("binding secret", d.Secret.Reveal(), e.Secret.Reveal())
	// That another account binds it takes nothing away.
	hub := r.hub(b)
	r.native(b, hub, cam)
	m, err := r.s.Member(cam.Name)
	r.must(err)
	r.equal("account", m.Account, "anna")
	in, err := r.s.AccountsOfNative(cam.Name)
	r.must(err)
	r.equal("invitations", in, []string{"anna", "bob"})
	// What it enrolled with outlives that its hub binds it again.
	hubs, err := r.s.Members("anna")
	r.must(err)
	r.bind(hubs[0].Name, account.Device{Device: d.Device})
	d, err = r.s.Device("anna", cam.Name)
	r.must(err)
	r.equal("binding secret", d.Secret.Reveal(), e.Secret.Reveal())
	// Unbound, it is no member any more.
	refused, err := r.s.Unbind(account.Position{}, "anna", []string{cam.Name})
	r.must(err)
	r.equal("refused", len(refused), 0)
	r.fails(second(r.s.Member(cam.Name)), home.ErrNotFound)
	gs, err := r.s.Grants(cam.Name, 0)
	r.must(err)
	r.equal("grants", len(gs), 0)
}

// The keys of a member name one account. The broker's rules depend on that.
func aMemberBelongsToOneAccount(r *rig) {
	a, b := r.account("anna"), r.account("bob")
	e := r.enrolment(a)
	r.must(r.s.Enrol(e))
	r.bind(e.Member.Name, plug("p"))
	moved := r.enrolment(b)
	moved.Member.Name, moved.Member.Keys, moved.Grant.Member = e.Member.Name, e.Member.Keys, e.Member.Name
	r.fails(r.s.Enrol(moved), home.ErrForeign)
	ds, err := r.s.Devices("anna")
	r.must(err)
	r.equal("devices that it still holds", len(ds), 1)
	// Removed by that account's owner, it may enrol elsewhere: the refused pairing was not used.
	r.must(r.s.RemoveHub("anna", e.Member.Name, account.Event{}))
	r.must(r.s.Enrol(moved))
	for id, want := range map[string]int{"anna": 0, "bob": 1} {
		ms, err := r.s.Members(id)
		r.must(err)
		r.equal("members of "+id, len(ms), want)
	}
	ds, err = r.s.Devices("anna")
	r.must(err)
	r.equal("devices that it held", len(ds), 0)
	r.must(r.s.Enrol(moved)) // again: the pairing is its own
	ns, err := r.s.Notices("", 10)
	r.must(err)
	if len(ns) != 1 || ns[0].Account != "bob" {
		r.Errorf("notices %v", ns)
	}
}

// A member that was away for long receives what it missed in several messages, each within the size limit.
func noticesAreReadInPages(r *rig) {
	for _, id := range []string{"c", "a", "aa", "b", "without"} {
		if a := r.account(id); id != "without" {
			r.hub(a)
			r.hub(a)
		}
	}
	var got []string
	for last := ""; ; {
		ns, err := r.s.Notices(last, 2)
		r.must(err)
		for _, n := range ns {
			r.must(n.Verify(r.id.Keys, n.Account))
			got = append(got, n.Account)
			last = n.Account
		}
		if len(ns) < 2 {
			break
		}
	}
	r.equal("accounts", got, []string{"a", "aa", "b", "c"})
}

// A change can leave hubs out ("this was not me"): their devices and native members go with them. Hubs of other
// accounts stay, whatever the list has.
func aHubThatIsLeftOutGoesWithWhatItHolds(r *rig) {
	a := r.account("anna")
	stays, goes := r.hub(a), r.hub(a)
	r.bind(stays, plug("stays"))
	r.bind(goes, plug("goes"))
	cam := r.identity(wire.RoleDevice)
	r.must(r.s.Enrol(r.native(a, goes, cam)))
	other := r.account("bob")
	foreign := r.hub(other)
	t := r.change(a)
	t.LeaveOut = []string{goes, foreign, cam.Name, "hub-unknown"}
	r.must(r.s.BeginEpoch(t))
	ds, err := r.s.Devices("anna")
	r.must(err)
	if len(ds) != 1 || ds[0].ID != "stays" {
		r.Errorf("devices %v", ds)
	}
	for _, name := range []string{goes, cam.Name} {
		r.fails(second(r.s.Member(name)), home.ErrNotFound)
		gs, err := r.s.Grants(name, 0)
		r.must(err)
		r.equal("grants", len(gs), 0)
	}
	r.must(second(r.s.Member(foreign)))
}

// A removed hub leaves no device behind, and its enrolment, sent again, does not bring it back.
func removingAHubTakesItsDevicesAndItsPairing(r *rig) {
	a := r.account("anna")
	r.account("bob")
	e := r.enrolment(a)
	r.must(r.s.Enrol(e))
	r.bind(e.Member.Name, plug("p"))
	r.fails(r.s.RemoveHub("bob", e.Member.Name, account.Event{}), home.ErrNotFound)
	r.must(r.s.RemoveHub("anna", e.Member.Name, account.Event{At: start, What: "hub removed"}))
	r.fails(r.s.RemoveHub("anna", e.Member.Name, account.Event{}), home.ErrNotFound)
	e.Seq = 99
	r.fails(r.s.Enrol(e), account.ErrUsed) // its enrolment repeated
	r.fails(second(r.s.Device("anna", "p")), home.ErrNotFound)
	_, err := r.s.Bind(account.Position{Member: e.Member.Name, Seq: 100}, []account.Device{plug("p")}, 10)
	r.fails(err, home.ErrNotFound)
}

// The boot number and the clock offset of a hub are those of its last hello; drift within the tolerance is no change.
func theHubsReportAtItsConnectIsStored(r *rig) {
	hub := r.hub(r.account("anna"))
	r.must(r.s.Hello(hub, 7, -1500*time.Millisecond))
	r.must(r.s.Hello(hub, 7, -1510*time.Millisecond)) // clocks drift: that is no change
	m, err := r.s.Member(hub)
	r.must(err)
	r.equal("boot", m.Boot, 7)
	r.equal("clock", m.Clock, -1500*time.Millisecond)
}

// MQTT may deliver a message twice, and a copy of one can be replayed: its sequence number is compared and set in the
// transaction of its change.
func aMessageChangesTheStoreOnce(r *rig) {
	a := r.account("anna")
	hub := r.hub(a)
	r.bind(hub, plug("p"))
	pos := r.message(hub)
	refused, err := r.s.SignIn(pos, "anna", 1, named("p", "unknown"))
	r.must(err)
	want := []wire.Outcome{{ID: "unknown", Code: wire.CodeUnknown}}
	r.equal("refused", refused, want)
	// Once more, after something else has changed: the same answer, and no change.
	if _, err := r.s.Unbind(account.Position{}, "anna", []string{"p"}); err != nil {
		r.Fatal(err)
	}
	refused, err = r.s.SignIn(pos, "anna", 1, named("p", "unknown"))
	r.must(err)
	r.equal("refused the second time", refused, want)
	older := pos
	older.Seq--
	for what, do := range map[string]func() error{
		"bind":    func() error { return second(r.s.Bind(older, []account.Device{plug("q")}, 10)) },
		"unbind":  func() error { return second(r.s.Unbind(older, "anna", []string{"p"})) },
		"sign-in": func() error { return second(r.s.SignIn(older, "anna", 1, named("p"))) },
		"acknowledgement": func() error {
			return r.s.Acknowledge(older, r.ack(hub, 1, nil))
		},
	} {
		if err := do(); !errors.Is(err, account.ErrReplayed) {
			r.Errorf("%s replayed: %v", what, err)
		}
	}
	// Of many that send the same message, each gets the answer.
	pos.Seq++
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := r.s.Bind(pos, []account.Device{plug("x")}, 10); err != nil {
				r.Error(err)
			}
		})
	}
	wg.Wait()
}
