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
