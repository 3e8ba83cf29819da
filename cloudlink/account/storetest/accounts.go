package storetest

import (
	"math"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Two registrations of one address can be confirmed at once. The second must fail: each account would otherwise belong
// to whoever looks it up, by letter case.
func anAddressHasOneAccount(r *rig) {
	a := r.account("anna")
	for _, email := range []string{"anna@example.org", " ANNA@example.ORG ", a.Email} {
		got, err := r.s.AccountByEmail(email)
		r.must(err)
		r.equal("account of "+email, got.ID, a.ID)
	}
	got, err := r.s.Account("anna")
	r.must(err)
	r.equal("address as registered", got.Email, "anna@Example.org")
	r.equal("hash", got.Hash.Reveal(), a.Hash.Reveal())
	r.equal("secret", got.Secret.Reveal(), a.Secret.Reveal())
	r.must(got.Notice.Verify(r.id.Keys, "anna"))
	second := a
	second.ID, second.Email = "other", "ANNA@EXAMPLE.ORG"
	r.fails(r.s.CreateAccount(second, ""), account.ErrTaken)
	_, err = r.s.Account("other")
	r.fails(err, home.ErrNotFound)
}

func registration(key, id string) account.Registration {
	return account.Registration{
		Key: key, Account: id, Email: "Anna@example.org", Hash: home.NewSecret("hash " + key), Door: account.DoorKasa,
		Lang: "ru", At: start,
		Expires: start.Add(time.Hour),
	}
}

// A link creates an account once, and takes the other registrations of that address with it: a stranger's password must
// not be left waiting there.
func aRegistrationEndsWhenItsAccountIsCreated(r *rig) {
	for _, key := range []string{"first", "second"} {
		r.must(r.s.Register(registration(key, "account-"+key), letter("", "activate")))
	}
	for _, key := range []string{"first", "second"} {
		got, err := r.s.Registration(key)
		r.must(err)
		r.equal("registration", got, registration(key, "account-"+key))
		r.equal("hash", got.Hash.Reveal(), "hash "+key)
	}
	newest, err := r.s.NewestRegistration("ANNA@example.org")
	r.must(err)
	r.equal("the newest", newest.Key, "second")
	a := account.Account{ID: "account-first", Email: "Anna@example.org", Epoch: 1, At: start}
	a.Notice = r.notice(a.ID, 1, nil)
	r.fails(r.s.CreateAccount(a, "unknown"), account.ErrUsed)
	r.must(r.s.CreateAccount(a, "first"))
	_, err = r.s.Registration("first")
	r.fails(err, home.ErrNotFound)
	b := a
	b.ID = "account-second"
	r.fails(r.s.CreateAccount(b, "second"), account.ErrTaken)
	n, err := r.s.WaitingMails()
	r.must(err)
	r.equal("mails", n, 2)
}

func oneOfManyCreatesTheAccount(r *rig) {
	won := r.race(account.ErrTaken, func(i int) error {
		id := strings.Repeat("a", i+1)
		a := account.Account{ID: id, Email: "anna@example.org", Epoch: 1, Notice: r.notice(id, 1, nil)}
		return r.s.CreateAccount(a, "")
	})
	r.equal("winners", won, 1)
}

// Two changes of one password race: the one that read an older state fails with ErrEpoch and changes nothing.
func anEpochFollowsTheOneBefore(r *rig) {
	a := r.begin(r.account("anna"))
	wrong := map[string]uint64{"older": 1, "equal": 2, "one left out": 4, "the last": math.MaxUint64, "wrapped": 0}
	for what, epoch := range wrong {
		t := r.change(a)
		t.Account.Epoch = epoch
		if err := r.s.BeginEpoch(t); err == nil {
			r.Errorf("epoch %d after 2 was taken: %s", epoch, what)
		}
	}
	got, err := r.s.Account("anna")
	r.must(err)
	r.equal("epoch", got.Epoch, 2)
	r.equal("secret", got.Secret.Reveal(), a.Secret.Reveal())
	r.must(got.Notice.Verify(r.id.Keys, "anna"))
	r.equal("epoch of the notice", got.Notice.Epoch, 2)
	t := r.change(a) // of many at once, one begins an epoch
	r.equal("winners", r.race(account.ErrEpoch, func(int) error { return r.s.BeginEpoch(t) }), 1)
}

// A store from a backup can lack an epoch whose notice members have seen. The next epoch follows that notice, so that
// it is newer for all of them.
func anEpochFollowsANoticeThatTheStateLacks(r *rig) {
	a := r.begin(r.account("anna"))
	newest := func() wire.Notice {
		got, err := r.s.Account("anna")
		r.must(err)
		return got.Newest()
	}
	older, fork := r.notice("anna", 1, []byte("other")), r.notice("anna", 2, []byte("other"))
	newer, newerFork := r.notice("anna", 7, []byte("lost")), r.notice("anna", 7, []byte("other"))
	for _, step := range []struct{ shown, want wire.Notice }{
		{a.Notice, a.Notice},
		{older, a.Notice},
		{fork, fork},
		{a.Notice, fork},
		{newer, newer},
		{newerFork, newer},
		{fork, newer},
	} {
		r.must(r.s.NoteAhead(step.shown))
		r.equal("the newest notice", string(newest().JWS()), string(step.want.JWS()))
	}
	r.fails(r.s.BeginEpoch(r.change(a)), account.ErrEpoch)
	t := r.change(a)
	t.Account.Epoch, t.Account.Notice = 8, r.notice("anna", 8, newer.Hash())
	r.must(r.s.BeginEpoch(t))
	r.equal("the newest notice", newest().Epoch, uint64(8))
	r.fails(r.s.NoteAhead(r.notice("unknown", 9, nil)), home.ErrNotFound)
}

// A reset link sets one password, whichever of many requests comes first, and only that of its own account.
func oneOfManyUsesALink(r *rig) {
	a := r.account("anna")
	r.must(r.s.OfferReset(link(account.PurposeReset, "anna", 1, "reset"), letter("anna", "reset"), account.Event{}))
	t := r.change(a)
	t.Use = "reset"
	won := r.race(account.ErrEpoch, func(int) error { return r.s.BeginEpoch(t) })
	r.equal("winners", won, 1)
	// At the next epoch the link is used up.
	next := r.change(t.Account)
	next.Use = "reset"
	r.fails(r.s.BeginEpoch(next), account.ErrUsed)
	// A link of another account entitles to nothing.
	r.account("bob")
	r.must(r.s.OfferReset(link(account.PurposeReset, "bob", 1, "bobs"), letter("bob", "reset"), account.Event{}))
	next.Use = "bobs"
	r.fails(r.s.BeginEpoch(next), account.ErrUsed)
}

// After a change the sessions and reset links of before are void, those of other accounts are not. Links that disown a
// change stay, unless the change ends all links.
func anEpochEndsSessionsAndLinks(r *rig) {
	a := r.begin(r.account("anna")) // with a link that disowns it
	r.account("bob")
	r.must(r.s.OpenSession(2, session("anna", "k1", "e1")))
	r.must(r.s.OpenSession(1, session("bob", "k1", "e1")))
	r.must(r.s.OfferReset(link(account.PurposeReset, "anna", 2, "reset"), letter("anna", "reset"), account.Event{}))
	a = r.begin(a)
	_, err := r.s.Session("anna", "k1")
	r.fails(err, home.ErrNotFound)
	_, err = r.s.MailLink("reset")
	r.fails(err, home.ErrNotFound)
	for _, key := range []string{"disown2", "disown3"} {
		_, err = r.s.MailLink(key)
		r.must(err)
	}
	_, err = r.s.Session("bob", "k1")
	r.must(err)
	t := r.change(a)
	t.AllLinks = true
	r.must(r.s.BeginEpoch(t))
	for key, want := range map[string]error{"disown2": home.ErrNotFound, "disown3": home.ErrNotFound, "disown4": nil} {
		_, err = r.s.MailLink(key)
		r.fails(err, want)
	}
}

// Of several reset links only the newest is valid, and none is offered for an epoch that has ended.
func aNewResetLinkReplacesTheOneBefore(r *rig) {
	a := r.account("anna")
	for _, key := range []string{"first", "second"} {
		requested := account.Event{At: start, What: "reset requested"}
		r.must(r.s.OfferReset(link(account.PurposeReset, "anna", 1, key), letter("anna", key), requested))
	}
	_, err := r.s.MailLink("first")
	r.fails(err, home.ErrNotFound)
	got, err := r.s.MailLink("second")
	r.must(err)
	r.equal("link", got, link(account.PurposeReset, "anna", 1, "second"))
	r.begin(a)
	late := link(account.PurposeReset, "anna", 1, "late")
	r.fails(r.s.OfferReset(late, letter("anna", "late"), account.Event{}), account.ErrEpoch)
}

// "This was not me" undoes what an intruder did since the change that it answers: sessions, links, hubs, pairings. What
// was there before stays.
func disownRemovesWhatCameSince(r *rig) {
	a := r.account("anna")
	old := r.enrolment(a)
	old.Member.At = start.Add(-time.Hour)
	r.must(r.s.Enrol(old))
	r.bind(old.Member.Name, plug("mine"))
	a = r.begin(a)
	theirs := r.hub(a)
	r.bind(theirs, plug("theirs"))
	unused := account.Pairing{Name: "unused", Account: "anna", Epoch: 2, Expires: start.Add(time.Hour)}
	r.must(r.s.AddPairing(unused, account.Event{}))
	r.must(r.s.OpenSession(2, session("anna", "k", "e")))
	r.must(r.s.OfferReset(link(account.PurposeReset, "anna", 2, "earlier"), letter("anna", "reset"), account.Event{}))
	late := r.enrolment(a)
	d := account.Disowning{
		Account: "anna", Use: "disown2", Since: start, Reset: link(account.PurposeReset, "anna", 2, "fresh"),
		Mail:  letter("anna", "fresh"),
		Event: account.Event{At: start, What: "change disowned"},
	}
	n, err := r.s.Disown(d)
	r.must(err)
	r.equal("hubs removed", n, 1)
	_, err = r.s.Disown(d)
	r.fails(err, account.ErrUsed)
	ds, err := r.s.Devices("anna")
	r.must(err)
	if len(ds) != 1 || ds[0].ID != "mine" {
		r.Errorf("devices %v", ds)
	}
	for what, err := range map[string]error{
		"hub": second(r.s.Member(theirs)), "pairing": second(r.s.Pairing("unused")),
		"session":      second(r.s.Session("anna", "k")),
		"earlier link": second(r.s.MailLink("earlier")),
	} {
		if err == nil {
			r.Errorf("the %s is left", what)
		}
	}
	r.must(second(r.s.MailLink("fresh")))
	r.must(second(r.s.Member(old.Member.Name)))
	got, err := r.s.Account("anna")
	r.must(err)
	r.equal("closed", got.Closed, true)
	// What was under way when the account was closed comes too late.
	r.fails(r.s.OpenSession(2, session("anna", "k", "e")), account.ErrEpoch)
	r.fails(r.s.AddPairing(unused, account.Event{}), account.ErrEpoch)
	r.fails(r.s.Enrol(late), account.ErrEpoch)
	t := r.change(got)
	t.Account.Closed = false
	r.fails(r.s.BeginEpoch(t), account.ErrEpoch)
	t.Use, t.Account.Closed, t.Account.TerminalsSince = "fresh", false, 3
	r.must(r.s.BeginEpoch(t))
	got, err = r.s.Account("anna")
	r.must(err)
	r.equal("epoch since which cookies of terminals count", got.TerminalsSince, 3)
	r.must(r.s.OpenSession(3, session("anna", "k", "e")))
}

func second[T any](_ T, err error) error { return err }

// A login rehashes with newer parameters while a reset runs: the hash of the old password must not overwrite that of
// the new one.
func aRehashIsOfTheSameEpoch(r *rig) {
	a := r.begin(r.account("anna"))
	r.fails(r.s.Rehash("anna", 1, home.NewSecret("old")), account.ErrEpoch)
	r.must(r.s.Rehash("anna", 2, home.NewSecret("new")))
	r.must(r.s.SetLanguage("anna", "ru"))
	got, err := r.s.Account("anna")
	r.must(err)
	r.equal("hash", got.Hash.Reveal(), "new")
	r.equal("language", got.Lang, "ru")
	r.begin(a) // with the language of before
	got, err = r.s.Account("anna")
	r.must(err)
	r.equal("language after an epoch", got.Lang, "ru")
}

// The history is bounded; the oldest events go first.
func historyIsReadNewestFirst(r *rig) {
	r.account("anna")
	r.account("bob")
	for _, what := range []string{"reset requested", "session ended"} {
		r.must(r.s.EndSessions("anna", account.Event{At: start, What: what, Door: account.DoorWeb, Epoch: 7, Detail: "x"}))
	}
	es, err := r.s.History("anna")
	r.must(err)
	newest := account.Event{At: start, What: "session ended", Door: account.DoorWeb, Epoch: 7, Detail: "x"}
	if len(es) != 3 || es[2].What != "account registered" || es[0] != newest {
		r.Errorf("history %v", es)
	}
	es, err = r.s.History("bob")
	r.must(err)
	r.equal("lines of another account", len(es), 1)
	es, err = r.s.History("absent")
	r.must(err)
	r.equal("lines of an unknown account", len(es), 0)
}

// Every method answers a missing record with ErrNotFound, and creates nothing.
func whatIsNotThereIsNotFound(r *rig) {
	at := account.Position{Member: "hub-x", Seq: 1}
	for what, err := range map[string]error{
		"account": second(r.s.Account("x")), "address": second(r.s.AccountByEmail("x@example.org")),
		"empty address":       second(r.s.AccountByEmail("")),
		"registration":        second(r.s.Registration("x")),
		"newest registration": second(r.s.NewestRegistration("x@example.org")),
		"link":                second(r.s.MailLink("x")),
		"session":             second(r.s.Session("x", "y")), "pairing": second(r.s.Pairing("x")),
		"member": second(r.s.Member("hub-x")), "device": second(r.s.Device("x", "y")),
		"view":   second(r.s.View("hub-x", nil)),
		"rehash": r.s.Rehash("x", 1, home.NewSecret("h")), "language": r.s.SetLanguage("x", "en"),
		"hub":   r.s.RemoveHub("x", "hub-x", account.Event{}),
		"hello": r.s.Hello("hub-x", 1, 0), "end": r.s.EndSession("x", "e", account.Event{}),
		"renewal":         r.s.RenewSession("x", session("x", "y", "e")),
		"acknowledgement": r.s.Acknowledge(at, account.Acknowledgement{Account: "x", Epoch: 1}),
	} {
		if err == nil {
			r.Errorf("%s: no error", what)
			continue
		}
		r.fails(err, home.ErrNotFound)
	}
	ms, err := r.s.Members("x")
	r.must(err)
	in, err := r.s.AccountsOfNative("rk-x")
	r.must(err)
	gs, err := r.s.Grants("hub-x", 0)
	r.must(err)
	hs, err := r.s.Notices("", 10)
	r.must(err)
	r.equal("lists", len(ms)+len(in)+len(gs)+len(hs), 0)
}
