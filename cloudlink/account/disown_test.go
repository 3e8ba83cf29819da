package account_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// intruder is somebody who knows the password of a change that the owner disowns, and what they got hold of.
type intruder struct {
	c        *cloud
	begun    atomic.Int64 // attacks that have begun
	password atomic.Value // the newest
	mu       sync.Mutex   // guards the rest
	got      []account.SignedIn
	words    []pairing.Pairing
}

// attack signs in, renews the session, adds a hub and enrols it.
func (in *intruder) attack(hub *by) {
	s, pw := in.c.s, in.password.Load().(string)
	got, err := s.Login(in.c.t.Context(), account.Login{
		Email: email, Password: pw, Door: account.DoorKasa, Terminal: "t", From: hub.id.Name, Refresh: true,
	})
	if err != nil {
		return
	}
	renewed := got
	if renewed.Token, err = s.Renew(got.Refresh, "t"); err != nil {
		renewed = got
	}
	in.mu.Lock()
	in.got = append(in.got, got, renewed)
	in.mu.Unlock()
	o, err := s.Owner(got.Token)
	if err != nil {
		return
	}
	w, err := o.Pair(in.c.t.Context(), pw, hub.id.Name)
	if err != nil {
		return
	}
	in.mu.Lock()
	in.words = append(in.words, w)
	in.mu.Unlock()
	raw, _ := hub.raw(enrolment(hub.id, w))
	hub.publish(raw) // its answer does not matter
}

// change sets another password.
func (in *intruder) change() {
	old := in.password.Load().(string)
	next := "intruder-" + wire.NewID()[:16]
	_, err := in.c.s.ChangePassword(in.c.t.Context(), account.PasswordChange{
		Email: email, Old: old, New: next, Door: account.DoorKasa, From: "change",
	})
	if err == nil {
		in.password.Store(next)
	}
}

// TestLoginsInProgressDoNotOutrunThisWasNotMe has an intruder sign in, add hubs and change the password again while the
// owner answers "this was not me". Nothing of it may survive the answer, and the owner's reset must succeed.
func TestLoginsInProgressDoNotOutrunThisWasNotMe(t *testing.T) {
	for round := range 6 {
		t.Run(fmt.Sprint(round), func(t *testing.T) { disownDuringAttack(t, int64(8+5*round)) })
	}
}

func disownDuringAttack(t *testing.T, attacks int64) {
	c := open(t, func(p *account.Policy) { p.LoginFailures, p.LoginFrom = 1000, 100_000 })
	_, mine, _ := c.enrolled()
	change := p{"cloudUserName": email, "oldCloudPassword": password, "newCloudPassword": second}
	if code := c.call("", "modifyCloudPassword", change, nil); code != 0 {
		t.Fatal(code)
	}
	notMe := c.mailed("Your password was changed", 1)[0]

	const hubs = 6
	in := &intruder{c: c}
	in.password.Store(second)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var attackers sync.WaitGroup
	again := func(do func()) {
		attackers.Go(func() {
			for ctx.Err() == nil {
				in.begun.Add(1)
				do()
			}
		})
	}
	var theirs []*by
	for range hubs {
		hub := c.member(wire.RoleHub, mine.account)
		theirs = append(theirs, hub)
		again(func() { in.attack(hub) })
	}
	again(in.change)
	eventually(t, "attacks in progress", func() bool { return in.begun.Load() >= attacks })
	if err := c.s.Disown(c.t.Context(), notMe); err != nil {
		t.Fatal(err)
	}
	after := in.begun.Load()
	eventually(t, "attacks that began before the answer ended", func() bool { return in.begun.Load() > after+4*hubs })
	stop()
	attackers.Wait()

	// The messages of the intruder's hubs are handled in order: an answer comes after what was published before.
	for _, hub := range theirs {
		refusedWith(t, hub.ask(&wire.Hello{Account: hub.account}), wire.CodeUnknown)
	}
	for i, got := range in.got {
		if _, err := c.s.Owner(got.Token); err == nil {
			t.Errorf("session %d of %d survived", i, len(in.got))
		}
		if _, err := c.s.Renew(got.Refresh, "t"); err == nil {
			t.Errorf("refresh token %d of %d survived", i, len(in.got))
		}
	}
	for i, w := range in.words {
		refusedWith(t, theirs[0].ask(enrolment(theirs[0].id, w)), wire.CodePairing)
		if t.Failed() {
			t.Fatalf("pairing %d of %d survived", i, len(in.words))
		}
	}
	token := c.mailed("Reset your password", 1)[0]
	l, err := c.s.LinkOf(token, account.PurposeReset)
	if err != nil {
		t.Fatal("the owner's reset: ", err)
	}
	if len(l.Hubs) != 1 || l.Hubs[0].Name != mine.id.Name {
		t.Errorf("the reset offers hubs %+v, want the owner's alone", l.Hubs)
	}
	third := "third-Horse-Battery"
	if _, err := c.s.Reset(t.Context(), token, third, account.Choices{}); err != nil {
		t.Fatal("the owner's reset: ", err)
	}
	if _, _, code := c.login(third, ""); code != 0 {
		t.Errorf("the owner's login: %d", code)
	}
	if _, _, code := c.login(in.password.Load().(string), ""); code != v1.WrongPassword {
		t.Errorf("the intruder's password: %d", code)
	}
	if _, welcome := mine.hello(1); !welcome.Notice.Exposed {
		t.Errorf("notice %+v, want exposed", welcome.Notice)
	}
	for _, hub := range theirs {
		refusedWith(t, hub.ask(&wire.Hello{Account: hub.account}), wire.CodeUnknown)
	}
}
