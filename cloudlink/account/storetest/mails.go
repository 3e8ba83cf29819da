package storetest

import (
	"fmt"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
)

// queue queues n mails, which are due at start.
func (r *rig) queue(n int) {
	r.Helper()
	for i := range n {
		reg := registration(fmt.Sprint("r", i), fmt.Sprint("a", i))
		r.must(r.s.Register(reg, letter("anna", fmt.Sprint("mail ", i))))
	}
}

// Several senders work on one queue. Each mail goes to one of them, and comes back when that one does not report in
// time.
func aMailIsClaimedByOne(r *rig) {
	const n = 40
	r.queue(n)
	var mu sync.Mutex // guards claimed
	claimed := map[uint64]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range n {
				due, _, err := r.s.ClaimMails(start, start.Add(time.Minute), 3)
				if err != nil {
					r.Error(err)
				}
				if len(due) == 0 {
					return
				}
				mu.Lock()
				for _, q := range due {
					claimed[q.Number]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	r.equal("mails claimed", len(claimed), n)
	for number, times := range claimed {
		if times != 1 {
			r.Errorf("mail %d was claimed %d times", number, times)
		}
	}
}

// A mail that failed is due later each time; a look at a long queue reads only what is due.
func mailsAreClaimedWhenTheyAreDue(r *rig) {
	r.account("anna")
	r.queue(2)
	r.must(r.s.Register(registration("none", "none"), mail.Mail{})) // no mail
	waits := func(want int) {
		r.Helper()
		n, err := r.s.WaitingMails()
		r.must(err)
		r.equal("mails that wait", n, want)
	}
	claim := func(now time.Time, n int) ([]mail.Queued, time.Time) {
		r.Helper()
		due, next, err := r.s.ClaimMails(now, now.Add(time.Minute), n)
		r.must(err)
		return due, next
	}
	waits(2)
	if due, next := claim(start.Add(-time.Second), 9); len(due) != 0 || !next.Equal(start) {
		r.Errorf("%d are due early, the next at %v", len(due), next)
	}
	first, next := claim(start, 1)
	if len(first) != 1 || !next.Equal(start) {
		r.Fatalf("%d claimed, the next at %v", len(first), next)
	}
	want := letter("anna", first[0].Subject)
	want.ID = first[0].ID
	r.equal("mail", first[0].Mail, want)
	rest, next := claim(start, 9)
	if len(rest) != 1 || rest[0].ID == first[0].ID || !next.Equal(start.Add(time.Minute)) {
		r.Fatalf("%d claimed, the next at %v", len(rest), next)
	}
	// A claim that was not ended expires, with the mail's name as it was.
	again, _ := claim(start.Add(2*time.Minute), 9)
	if len(again) != 2 {
		r.Fatalf("%d claimed after the claims ran out", len(again))
	}
	again[0].Tries = 3
	r.must(r.s.PostponeMail(again[0], start.Add(time.Hour)))
	r.must(r.s.DropMail(again[1], true, start))
	r.must(r.s.DropMail(again[1], true, start)) // of two that send it, the second ends nothing
	r.must(r.s.PostponeMail(again[1], start))
	waits(1)
	es, err := r.s.History("anna")
	r.must(err)
	if len(es) != 2 || es[0] != (account.Event{At: start, What: "mail given up", Detail: again[1].Subject}) {
		r.Errorf("history %v", es)
	}
	last, _ := claim(start.Add(time.Hour), 9)
	if len(last) != 1 || last[0].Tries != 3 || last[0].ID != again[0].ID {
		r.Fatalf("claimed %v", last)
	}
	r.must(r.s.DropMail(last[0], false, start))
	waits(0)
	if due, next := claim(start.Add(24*time.Hour), 9); len(due) != 0 || !next.IsZero() {
		r.Errorf("%d are left, the next at %v", len(due), next)
	}
}

func mailsOfAClockThatWasAheadAreDue(r *rig) {
	for i, wait := range []time.Duration{5 * time.Minute, 365 * 24 * time.Hour, 366 * 24 * time.Hour} {
		m := letter("", fmt.Sprint(i))
		m.At = start.Add(wait)
		r.must(r.s.Register(registration(fmt.Sprint(i), "anna"), m))
	}
	claim := func(now time.Time, n, want int, next time.Time) {
		r.Helper()
		due, after, err := r.s.ClaimMails(now, now.Add(time.Minute), n)
		r.must(err)
		for _, q := range due {
			r.must(r.s.DropMail(q, false, now))
		}
		if len(due) != want || !after.Equal(next) {
			r.Errorf("%d mails are due, and the next at %v; want %d and %v", len(due), after, want, next)
		}
	}
	claim(start, 1, 1, start) // of the two that are ahead
	claim(start, 9, 1, start.Add(5*time.Minute))
	claim(start.Add(5*time.Minute), 9, 1, time.Time{})
}

// aLifeIsBoundedByTheClock: a record made while the clock was a year ahead lives no longer than one made now.
func aLifeIsBoundedByTheClock(r *rig) {
	r.account("anna")
	year := 365 * 24 * time.Hour
	l := link(account.PurposeReset, "anna", 1, "ahead")
	l.Expires = start.Add(year)
	r.must(r.s.OfferReset(l, mail.Mail{}, account.Event{}))
	session := account.Session{
		Key: "ahead", Account: "anna", Entry: "e", Door: account.DoorKasa, At: start.Add(year), Expires: start.Add(2 * year),
	}
	r.must(r.s.OpenSession(1, session))
	pending := registration("ahead", "bob")
	pending.Email, pending.Expires = "bob@example.org", start.Add(year)
	r.must(r.s.Register(pending, mail.Mail{}))
	r.must(r.s.Sweep(start))
	got, err := r.s.MailLink("ahead")
	r.must(err)
	r.equal("end of the link", got.Expires.UTC(), start.Add(account.LongestLink).UTC())
	of, err := r.s.Session("anna", "ahead")
	r.must(err)
	r.equal("end of the session", of.Expires.UTC(), start.Add(account.LongestSession).UTC())
	reg, err := r.s.Registration("ahead")
	r.must(err)
	r.equal("end of the registration", reg.Expires.UTC(), start.Add(account.LongestRegistration).UTC())
}
