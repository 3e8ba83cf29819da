// Package storetest is what every store of the account service must pass. It knows the interface only.
package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Opener opens the stores under test.
type Opener interface {
	// Open returns an empty store. The test's end closes it.
	Open(t *testing.T) account.Store
	// Reopen closes the store and opens it again on the same state.
	Reopen(t *testing.T, s account.Store) account.Store
}

// Run runs the suite.
func Run(t *testing.T, o Opener) {
	for name, test := range map[string]func(*rig){
		"AnAddressHasOneAccount":                           anAddressHasOneAccount,
		"ARegistrationEndsWhenItsAccountIsCreated":         aRegistrationEndsWhenItsAccountIsCreated,
		"OneOfManyCreatesTheAccount":                       oneOfManyCreatesTheAccount,
		"AnEpochFollowsTheOneBefore":                       anEpochFollowsTheOneBefore,
		"AnEpochFollowsANoticeThatTheStateLacks":           anEpochFollowsANoticeThatTheStateLacks,
		"OneOfManyUsesALink":                               oneOfManyUsesALink,
		"AnEpochEndsSessionsAndLinks":                      anEpochEndsSessionsAndLinks,
		"AGrantIsSealedToTheMembersNewestKey":              aGrantIsSealedToTheMembersNewestKey,
		"AnEpochLeavesNoMemberWithoutAGrant":               anEpochLeavesNoMemberWithoutAGrant,
		"AHubThatIsLeftOutGoesWithWhatItHolds":             aHubThatIsLeftOutGoesWithWhatItHolds,
		"ANewResetLinkReplacesTheOneBefore":                aNewResetLinkReplacesTheOneBefore,
		"DisownRemovesWhatCameSince":                       disownRemovesWhatCameSince,
		"NoSessionSlipsPastAReset":                         noSessionSlipsPastAReset,
		"SessionsEndOneByOneAndTogether":                   sessionsEndOneByOneAndTogether,
		"OneOfManyHubsUsesAPairing":                        oneOfManyHubsUsesAPairing,
		"ANewHubIsReportedOnce":                            aNewHubIsReportedOnce,
		"AnEnrolmentIsOfTheNewestEpoch":                    anEnrolmentIsOfTheNewestEpoch,
		"ANativeDeviceEnrolsWhereItIsBound":                aNativeDeviceEnrolsWhereItIsBound,
		"AMemberBelongsToOneAccount":                       aMemberBelongsToOneAccount,
		"AMessageChangesTheStoreOnce":                      aMessageChangesTheStoreOnce,
		"DevicesAreScopedByAccount":                        devicesAreScopedByAccount,
		"AnotherBindingSecretVoidsASignIn":                 anotherBindingSecretVoidsASignIn,
		"ADeviceChangesHandsAfterALeaseOnly":               aDeviceChangesHandsAfterALeaseOnly,
		"OnlyItsHolderSignsADeviceIn":                      onlyItsHolderSignsADeviceIn,
		"AViewedDeviceIsSignedInUnlessItChangedHandsSince": aViewedDeviceIsSignedInUnlessItChangedHandsSince,
		"AnAccountHasABoundedNumberOfDevices":              anAccountHasABoundedNumberOfDevices,
		"AViewIsOfOneInstant":                              aViewIsOfOneInstant,
		"GrantsWaitUntilTheyAreAcknowledged":               grantsWaitUntilTheyAreAcknowledged,
		"AMailIsClaimedByOne":                              aMailIsClaimedByOne,
		"MailsOfAClockThatWasAheadAreDue":                  mailsOfAClockThatWasAheadAreDue,
		"ALifeIsBoundedByTheClock":                         aLifeIsBoundedByTheClock,
		"MailsAreClaimedWhenTheyAreDue":                    mailsAreClaimedWhenTheyAreDue,
		"HistoryIsReadNewestFirst":                         historyIsReadNewestFirst,
		"WhatHasExpiredIsSwept":                            whatHasExpiredIsSwept,
		"EverythingIsTheSameAfterARestart":                 everythingIsTheSameAfterARestart,
		"WhatIsNotThereIsNotFound":                         whatIsNotThereIsNotFound,
		"AFailedChangeLeavesNothingBehind":                 aFailedChangeLeavesNothingBehind,
		"NoticesAreReadInPages":                            noticesAreReadInPages,
		"ASealingKeyIsReplacedOnce":                        aSealingKeyIsReplacedOnce,
		"TheHubsReportAtItsConnectIsStored":                theHubsReportAtItsConnectIsStored,
		"RemovingAHubTakesItsDevicesAndItsPairing":         removingAHubTakesItsDevicesAndItsPairing,
		"ARehashIsOfTheSameEpoch":                          aRehashIsOfTheSameEpoch,
	} {
		t.Run(name, func(t *testing.T) {
			r := &rig{T: t, o: o}
			r.s = o.Open(t)
			id, err := r.s.Identity()
			r.must(err)
			r.id = id
			test(r)
		})
	}
}

// rig is one test with its store.
type rig struct {
	*testing.T
	o  Opener
	s  account.Store
	id *wire.Identity
}

// start is the instant at which every test begins.
var start = time.Date(2026, 3, 4, 5, 6, 7, 8e6, time.UTC)

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// fails checks that err is want.
func (r *rig) fails(err, want error) {
	r.Helper()
	if !errors.Is(err, want) {
		r.Errorf("the error is %v, want %v", err, want)
	}
}

func (r *rig) equal(what string, got, want any) {
	r.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.Errorf("%s: %v, want %v", what, got, want)
	}
}

// notice is the notice of an epoch.
func (r *rig) notice(id string, epoch uint64, prev []byte) wire.Notice {
	n := wire.Notice{Account: id, Epoch: epoch, At: start.UnixMilli(), Cause: "reset", Via: account.DoorWeb, Prev: prev}
	return r.id.SignNotice(n)
}

// account creates an account with an address made of its ID.
func (r *rig) account(id string) account.Account {
	r.Helper()
	a := account.Account{
		ID: id, Email: id + "@Example.org", Hash: home.NewSecret("hash of " + id), Epoch: 1,
		Secret: home.SecretBytes(wire.NewNonce()),
		Lang:   "en", At: start, Notice: r.notice(id, 1, nil),
	}
	r.must(r.s.CreateAccount(a, "", account.Event{At: start, What: "account registered", Epoch: 1}))
	return a
}

// change is the next epoch of an account, with a grant for each member.
func (r *rig) change(a account.Account) account.EpochChange {
	r.Helper()
	next := a
	next.Epoch++
	next.Hash, next.Secret = home.NewSecret(fmt.Sprint("hash ", next.Epoch)), home.SecretBytes(wire.NewNonce())
	next.Notice = r.notice(a.ID, next.Epoch, a.Notice.Hash())
	t := account.EpochChange{
		Account: next, Event: account.Event{At: start, What: "password changed", Epoch: next.Epoch},
		Disown: link(account.PurposeDisown, a.ID, next.Epoch, fmt.Sprint("disown", next.Epoch)),
	}
	ms, err := r.s.Members(a.ID)
	r.must(err)
	for _, m := range ms {
		sealed := fmt.Append(nil, "sealed ", next.Epoch)
		t.Grants = append(t.Grants, account.Grant{Member: m.Name, Notice: next.Notice, Seal: m.SealKey(), Sealed: sealed})
	}
	return t
}

// begin begins the next epoch of an account.
func (r *rig) begin(a account.Account) account.Account {
	r.Helper()
	t := r.change(a)
	r.must(r.s.BeginEpoch(t))
	return t.Account
}

func link(purpose, id string, epoch uint64, key string) account.MailLink {
	return account.MailLink{
		Key: key, Purpose: purpose, Account: id, Epoch: epoch, Door: account.DoorKasa, At: start,
		Expires: start.Add(time.Hour),
	}
}

func letter(id, subject string) mail.Mail {
	return mail.Mail{
		Account: id, To: "anna@example.org", Lang: "en", Subject: subject, Text: "text", HTML: "<p>text</p>",
		At: start, Expires: start.Add(time.Hour),
	}
}

func session(id, key, entry string) account.Session {
	return account.Session{
		Key: key, Account: id, Entry: entry, Door: account.DoorWeb, Terminal: "t", At: start, Expires: start.Add(time.Hour),
	}
}

// identity returns new keys.
func (r *rig) identity(role wire.Role) *wire.Identity {
	r.Helper()
	id, err := wire.NewIdentity(role, wire.NewSeed(), wire.NewSeed())
	r.must(err)
	return id
}

// enrolment is how a hub enters an account, with a pairing of its own.
func (r *rig) enrolment(a account.Account) account.Enrolment {
	r.Helper()
	id := r.identity(wire.RoleHub)
	p := account.Pairing{
		Name: "for-" + id.Name, Account: a.ID, Secret: home.NewSecret("word"), Password: home.NewSecret("pw"),
		Epoch: a.Epoch, Expires: start.Add(time.Hour),
	}
	r.must(r.s.AddPairing(p, account.Event{At: start, What: "pairing made"}))
	return account.Enrolment{
		Member:  account.Member{Name: id.Name, Account: a.ID, Keys: id.Keys, Label: "hall", Version: "1", At: start},
		Seq:     1,
		Pairing: p.Name,
		Grant:   account.Grant{Member: id.Name, Notice: a.Notice, Seal: id.Keys.Seal, Sealed: []byte("sealed first")},
		Event:   account.Event{At: start, What: "hub enrolled", Detail: "hall"},
	}
}

// hub enrols a hub.
func (r *rig) hub(a account.Account) string {
	r.Helper()
	e := r.enrolment(a)
	r.must(r.s.Enrol(e))
	return e.Member.Name
}

func plug(id string) account.Device {
	return account.Device{
		Device: wire.Device{ID: id, Kind: "plug", Protocol: "iot", Rank: 3, Model: "HS100", Name: "lamp", MAC: "50c7bf01"},
		Secret: home.KeyBytes([]byte("binding secret of " + id)),
	}
}

// bind binds devices to a hub, with a new message.
func (r *rig) bind(hub string, ds ...account.Device) {
	r.Helper()
	refused, err := r.s.Bind(r.message(hub), ds, 1000)
	r.must(err)
	if len(refused) > 0 {
		r.Fatalf("refused: %v", refused)
	}
}

// message is the position of a new message of a member.
func (r *rig) message(member string) account.Position {
	r.Helper()
	seq, err := r.s.LastSeq(member)
	r.must(err)
	return account.Position{Member: member, Seq: seq + 1}
}

// race runs do in many goroutines at once, and returns how many had no error. The others must have the error want.
func (r *rig) race(want error, do func(i int) error) (won int) {
	r.Helper()
	errs := make([]error, 30)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = do(i) })
	}
	wg.Wait()
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, want):
			r.Errorf("a loser got %v, want %v", err, want)
		}
	}
	return won
}
