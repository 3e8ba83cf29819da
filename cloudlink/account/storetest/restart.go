package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Fill puts something of everything into a store that is empty. Content reads it again.
func Fill(t interface {
	Helper()
	Fatal(...any)
}, s account.Store, hub, device *wire.Identity,
) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	id, err := s.Identity()
	must(err)
	sign := func(account string, epoch uint64, prev []byte) wire.Notice {
		n := wire.Notice{
			Account: account, Epoch: epoch, At: start.UnixMilli(), Cause: "registered", Via: doorOfFill, Prev: prev,
		}
		return id.SignNotice(n)
	}
	a := account.Account{
		ID: "anna", Email: "Anna@Example.org", Hash: home.NewSecret("a hash"), Epoch: 1,
		Secret: home.NewSecret("a secret of an epoch, 32 bytes..."),
		Lang:   "ru", At: start, Notice: sign("anna", 1, nil),
	}
	must(s.CreateAccount(a, "", account.Event{At: start, What: "account registered", Door: account.DoorKasa, Epoch: 1}))
	must(s.Register(registration("reg", "bob"), letter("", "activate")))
	p := account.Pairing{
		Name: "pairing", Account: "anna", Secret: home.NewSecret("a word"), Password: home.NewSecret("a password"),
		Epoch:   1,
		Expires: start.Add(time.Hour),
	}
	must(s.AddPairing(p, account.Event{At: start, What: "pairing made"}))
	must(s.Enrol(account.Enrolment{
		Member: account.Member{Name: hub.Name, Account: "anna", Keys: hub.Keys, Label: "hall", Version: "1.0", At: start},
		Seq:    1, Pairing: "pairing",
		Grant: account.Grant{Member: hub.Name, Notice: a.Notice, Sealed: []byte("sealed")},
		Event: account.Event{At: start, What: "hub enrolled", Detail: "hall"},
	}))
	cam := account.Device{Device: wire.Device{ID: device.Name, Kind: "camera", Protocol: string(home.Native)}}
	_, err = s.Bind(
		account.Position{Member: hub.Name, Seq: 2}, []account.Device{plug("plug"), cam, plug("one too many")}, 2,
	)
	must(err)
	must(s.Enrol(account.Enrolment{
		Member: account.Member{Name: device.Name, Account: "anna", Keys: device.Keys, Label: "camera", At: start}, Seq: 5,
		Secret: home.KeyBytes([]byte("binding secret of a native device")),
		Grant:  account.Grant{Member: device.Name, Notice: a.Notice, Sealed: []byte("sealed too")},
	}))
	newer := []byte("a newer sealing key")
	must(s.Acknowledge(account.Position{Member: hub.Name, Seq: 3}, account.Acknowledgement{
		Account: "anna", Epoch: 1, Seal: newer, Replaces: hub.Keys.Seal,
	}))
	a.Epoch, a.Notice = 2, sign("anna", 2, a.Notice.Hash())
	must(s.BeginEpoch(account.EpochChange{
		Account: a, Disown: link(account.PurposeDisown, "anna", 2, "disown"), Mail: letter("anna", "changed"),
		Grants: []account.Grant{
			{Member: hub.Name, Notice: a.Notice, Seal: newer, Sealed: []byte("two")},
			{Member: device.Name, Notice: a.Notice, Seal: device.Keys.Seal, Sealed: []byte("three")},
		},
		Event: account.Event{At: start, What: "password changed", Epoch: 2},
	}))
	must(s.Hello(hub.Name, 7, 1500*time.Millisecond))
	_, err = s.SignIn(account.Position{Member: hub.Name, Seq: 4}, "anna", 2, named("plug", "unknown"))
	must(err)
	must(s.OfferReset(link(account.PurposeReset, "anna", 2, "reset"), letter("anna", "reset"), account.Event{}))
	refresh := session("anna", "refresh", "entry")
	refresh.Refresh = true
	must(s.OpenSession(2, session("anna", "token", "entry"), refresh))

	c := account.Account{ID: "carl", Email: "carl@example.org", Epoch: 1, At: start, Notice: sign("carl", 1, nil)}
	must(s.CreateAccount(c, ""))
	c.Epoch, c.Notice = 2, sign("carl", 2, c.Notice.Hash())
	must(s.BeginEpoch(account.EpochChange{Account: c, Disown: link(account.PurposeDisown, "carl", 2, "carls")}))
	_, err = s.Disown(account.Disowning{
		Account: "carl", Use: "carls", Since: start, Reset: link(account.PurposeReset, "carl", 2, "carls-reset"),
	})
	must(err)
}

const doorOfFill = account.DoorKasa

// Content returns what Fill put in, a line a fact, secrets included. It changes the store: it is called last.
func Content(t interface {
	Helper()
	Fatal(...any)
}, s account.Store, hub, device string,
) []string {
	t.Helper()
	var lines []string
	add := func(what string, v any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(what, err)
		}
		lines = append(lines, fmt.Sprintf("%s: %+v", what, v))
	}
	a, err := s.AccountByEmail("anna@example.org")
	notice := a.Notice
	a.Notice = wire.Notice{}
	add("account", a, err)
	add("secrets of the account", a.Hash.Reveal()+", "+a.Secret.Reveal(), nil)
	add("epoch and cause of the notice", fmt.Sprint(notice.Epoch, notice.Cause, notice.Via, len(notice.Prev)), nil)
	c, err := s.Account("carl")
	add("the password of the other account is void", c.Closed, err)
	reg, err := s.NewestRegistration("anna@example.org")
	add("registration", reg, err)
	add("its hash", reg.Hash.Reveal(), nil)
	for _, key := range []string{"disown", "reset"} {
		l, err := s.MailLink(key)
		add("link", l, err)
	}
	ss, err := s.Sessions("anna")
	add("sessions", ss, err)
	p, err := s.Pairing("pairing")
	add("pairing", p, err)
	add("its secrets", p.Secret.Reveal()+", "+p.Password.Reveal(), nil)
	for _, name := range []string{hub, device} {
		m, err := s.Member(name)
		add("member", m, err)
		seq, err := s.LastSeq(name)
		add("its last message", seq, err)
		gs, err := s.Grants(name, 0)
		for _, g := range gs {
			add("grant", fmt.Sprintf("%d %s", g.Notice.Epoch, g.Sealed), err)
		}
		in, err := s.AccountsOfNative(name)
		add("invitations", in, err)
	}
	refused, err := s.SignIn(account.Position{Member: hub, Seq: 4}, "anna", 2, nil)
	add("answer to the last message", refused, err)
	ds, err := s.Devices("anna")
	add("devices", ds, err)
	for _, d := range ds {
		d, err := s.Device("anna", d.ID)
		add("binding secret", d.Secret.Reveal(), err)
	}
	ns, err := s.Notices("", 10)
	add("accounts with members", len(ns), err)
	es, err := s.History("anna")
	add("history", es, err)
	n, err := s.WaitingMails()
	add("mails", n, err)
	due, _, err := s.ClaimMails(start, start.Add(time.Minute), 10)
	for _, q := range due {
		add("mail", q, err)
	}
	err = s.OfferReset(link(account.PurposeReset, "anna", 2, "newer"), letter("anna", "reset"), account.Event{})
	_, gone := s.MailLink("reset")
	add("a newer link replaces the one that was stored", errors.Is(gone, home.ErrNotFound), err)
	return lines
}

// Fill makes one record of each kind; Content reads all of them. Nothing may live in memory only.
func everythingIsTheSameAfterARestart(r *rig) {
	hub, device := r.identity(wire.RoleHub), r.identity(wire.RoleDevice)
	Fill(r, r.s, hub, device)
	again := r.o.Open(r.T)
	Fill(r, again, hub, device)
	want := Content(r, again, hub.Name, device.Name)
	r.s = r.o.Reopen(r.T, r.s)
	id, err := r.s.Identity()
	r.must(err)
	r.equal("identity", id.Name, r.id.Name)
	got := Content(r, r.s, hub.Name, device.Name)
	if len(got) != len(want) || len(got) < 25 {
		r.Fatalf("%d facts, want %d", len(got), len(want))
	}
	for i := range want {
		r.equal("after a restart", got[i], want[i])
	}
}

// aFailedChangeLeavesNothingBehind ends changes at their last condition.
func aFailedChangeLeavesNothingBehind(r *rig) {
	a := r.account("anna")
	hub := r.hub(a)
	r.bind(hub, plug("p"))
	r.must(r.s.OpenSession(1, session("anna", "k", "e")))
	r.must(r.s.OfferReset(link(account.PurposeReset, "anna", 1, "reset"), letter("anna", "reset"), account.Event{}))
	t := r.change(a)
	t.Use, t.Grants, t.Mail = "reset", nil, letter("anna", "changed")
	r.fails(r.s.BeginEpoch(t), account.ErrMembers)
	r.must(second(r.s.MailLink("reset")))
	r.must(second(r.s.Session("anna", "k")))
	n, err := r.s.WaitingMails()
	r.must(err)
	r.equal("mails", n, 1)
	got, err := r.s.Account("anna")
	r.must(err)
	r.equal("epoch", got.Epoch, 1)
}
