package storetest

import (
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// A login that was checked before a change and stored after it must not open a session for the old password.
func noSessionSlipsPastAReset(r *rig) {
	a := r.account("anna")
	refresh := session("anna", "refresh", "e")
	refresh.Refresh = true
	r.must(r.s.OpenSession(1, session("anna", "token", "e"), refresh))
	got, err := r.s.Session("anna", "refresh")
	r.must(err)
	r.equal("session", got, refresh)
	r.fails(r.s.RenewSession("token", session("anna", "new", "e")), home.ErrNotFound) // no refresh token
	r.must(r.s.RenewSession("refresh", session("anna", "new", "e")))
	r.begin(a)
	r.fails(r.s.OpenSession(1, session("anna", "late", "e")), account.ErrEpoch)
	r.fails(r.s.OpenSession(1, session("absent", "late", "e")), account.ErrEpoch)
	r.fails(r.s.RenewSession("refresh", session("anna", "late", "e")), home.ErrNotFound)
	ss, err := r.s.Sessions("anna")
	r.must(err)
	r.equal("sessions", len(ss), 0)
}

// An owner ends one session or all of them; those of other accounts stay.
func sessionsEndOneByOneAndTogether(r *rig) {
	r.account("anna")
	r.account("bob")
	r.must(r.s.OpenSession(1, session("anna", "k1", "one"), session("anna", "k2", "one")))
	r.must(r.s.OpenSession(1, session("anna", "k3", "two")))
	r.must(r.s.OpenSession(1, session("bob", "k1", "one")))
	count := func(id string, want int) {
		r.Helper()
		ss, err := r.s.Sessions(id)
		r.must(err)
		r.equal("sessions of "+id, len(ss), want)
	}
	count("anna", 3)
	r.must(r.s.EndSession("anna", "one", account.Event{}))
	r.fails(r.s.EndSession("anna", "one", account.Event{}), home.ErrNotFound)
	count("anna", 1)
	r.must(r.s.EndSessions("anna", account.Event{At: start, What: "all sessions ended"}))
	count("anna", 0)
	count("bob", 1)
}

// Sweep deletes expired links, sessions, registrations and pairings, and nothing that is still valid.
func whatHasExpiredIsSwept(r *rig) {
	a := r.account("anna")
	late := session("anna", "late", "e")
	late.Expires = start.Add(2 * time.Hour)
	r.must(r.s.OpenSession(1, session("anna", "early", "e"), late))
	r.must(r.s.OfferReset(link(account.PurposeReset, "anna", 1, "reset"), letter("anna", "reset"), account.Event{}))
	r.must(
		r.s.AddPairing(account.Pairing{Name: "p", Account: "anna", Epoch: 1, Expires: start.Add(time.Hour)}, account.Event{}),
	)
	r.must(r.s.Register(registration("reg", "x"), letter("", "activate")))
	r.must(r.s.Sweep(start.Add(30 * time.Minute)))
	r.must(second(r.s.Session("anna", "early")))
	r.must(r.s.Sweep(start.Add(90 * time.Minute)))
	for what, err := range map[string]error{
		"session": second(r.s.Session("anna", "early")), "link": second(r.s.MailLink("reset")),
		"pairing":                 second(r.s.Pairing("p")),
		"registration":            second(r.s.Registration("reg")),
		"the newest registration": second(r.s.NewestRegistration("anna@example.org")),
	} {
		if err == nil {
			r.Errorf("the %s is left", what)
		}
	}
	r.must(second(r.s.Session("anna", "late")))
	r.begin(a) // a swept link breaks no later change
}
