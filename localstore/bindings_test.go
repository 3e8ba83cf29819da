package localstore_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestBindGivesADeviceAllItNeedsOnce(t *testing.T) {
	dir := t.TempDir()
	s := enrolled(t, dir, front, back)
	secrets, err := s.BindingSecrets([]home.DeviceID{front, back, "mac-unknown"})
	must(t, err)
	if len(secrets) != 2 || len(secrets[front].Reveal()) != 32 || secrets[front].Equal(secrets[back]) {
		t.Fatalf("%d secrets", len(secrets))
	}
	unchanged(t, dir, "bind again", func() { bind(t, s, front, back) })
	unchanged(t, dir, "seen again", func() {
		later := device(front)
		later.Seen = noon.Add(time.Hour)
		must(t, s.SaveDevices([]home.Device{later, device("mac-unbound")}))
	})
	again, err := reopen(t, s, dir).BindingSecrets([]home.DeviceID{front})
	must(t, err)
	if !again[front].Equal(secrets[front]) {
		t.Fatal("bound again, the secret is another")
	}
}

func TestMovedDeviceIsSaved(t *testing.T) {
	dir := t.TempDir()
	s := enrolled(t, dir, front)
	d := device(front)
	d.Name = "Porch"
	d.Seen = noon.In(time.FixedZone("CET", 3600))
	must(t, s.SaveDevices([]home.Device{d, device(back)}))
	ds, err := reopen(t, s, dir).Devices()
	must(t, err)
	if len(ds) != 1 || ds[0].Name != "Porch" || !ds[0].Seen.Equal(noon) || ds[0].Seen.Location() != time.UTC ||
		ds[0].Addr != d.Addr {
		t.Fatalf("devices %+v", ds)
	}
}

func TestBindRefusesADeviceWithoutAName(t *testing.T) {
	s := enrolled(t, t.TempDir())
	if err := s.Bind(acct, []home.Device{device(front), {}}); err == nil {
		t.Fatal("bound")
	}
	if bs, err := s.Bindings(); err != nil || len(bs) != 0 {
		t.Fatalf("half of it was bound: %v, %v", bs, err)
	}
}

func TestUnbindLeavesNothingButTheErrand(t *testing.T) {
	s := enrolled(t, t.TempDir(), front, back)
	observe(t, s, front, at(home.Current, 1))
	begin(t, s, 2)
	_, err := s.Intend(front, 1, 2, noon)
	must(t, err)
	must(t, s.Unbind([]home.DeviceID{front, "mac-unknown"}))
	_, err = s.Binding(front)
	wants(t, err, home.ErrNotFound)
	_, err = s.Observe(front, at(home.Current, 2), 0, noon)
	wants(t, err, home.ErrNotFound)
	_, err = s.Intend(front, 1, 2, noon)
	wants(t, err, home.ErrNotFound)
	wants(t, s.Postpone(front, noon), home.ErrNotFound)
	secrets, err := s.BindingSecrets([]home.DeviceID{front, back})
	must(t, err)
	if len(secrets) != 1 || len(intents(t, s)) != 0 {
		t.Fatalf("%d secrets, %v", len(secrets), intents(t, s))
	}
	equal(t, "errands", errands(t, s), []string{"ack  2", "bind " + string(back) + " 0", "unbind " + string(front) + " 0"})
	must(t, s.Check())
	bind(t, s, front) // and back: an errand that was not sent yet is not sent
	if slices.Contains(errands(t, s), "unbind "+string(front)+" 0") {
		t.Fatal(errands(t, s))
	}
}

func TestAnObservationHasAllItsConsequences(t *testing.T) {
	s := enrolled(t, t.TempDir(), front)
	observe(t, s, front, at(home.Current, 1))
	begin(t, s, 2)
	_, err := s.Intend(front, 1, 2, noon)
	must(t, err)
	must(t, s.Postpone(front, noon.Add(time.Minute)))
	for _, c := range []struct {
		v           home.Verdict
		state       home.State
		deviceEpoch home.Epoch
		intent      bool
	}{
		{at(home.Unreachable, 0), home.Unreachable, 1, true},
		{at(home.Current, 1), home.Stale, 1, true}, // current at an epoch that is over
		{at(home.Stale, 0), home.Stale, 1, true},
		{at(home.Mismatch, 0), home.Mismatch, 1, true},
		{at(home.Pending, 0), home.Pending, 1, true},
		{at(home.Stale, 2), home.Current, 2, false}, // the driver did not know the newest
		{at(home.Unreachable, 0), home.Unreachable, 2, false},
		{at(home.Stale, 1), home.Stale, 1, false}, // it was seen to hold the older one
		{at(home.Current, 2), home.Current, 2, false},
	} {
		b := observe(t, s, front, c.v)
		if b.Verdict.State != c.state || b.DeviceEpoch != c.deviceEpoch || (len(intents(t, s)) == 1) != c.intent {
			t.Fatalf("%v: %+v, intents %v", c.v, b, intents(t, s))
		}
		if current := c.state == home.Current; current &&
			(b.Tries != 0 || !b.Next.IsZero() || !slices.Contains(errands(t, s), "sign-in "+string(front)+" 2")) {
			t.Fatalf("%v: %+v, errands %v", c.v, b, errands(t, s))
		}
	}
}

func TestWhatIsSeenAgainIsNotWritten(t *testing.T) {
	dir := t.TempDir()
	s := enrolled(t, dir, front)
	until := noon.Add(time.Hour).In(time.FixedZone("CET", 3600))
	for _, v := range []home.Verdict{
		at(home.Current, 1), at(home.Unreachable, 0),
		{State: home.LockedOut, Until: until},
		at(home.Stale, 0),
	} {
		observe(t, s, front, v)
		unchanged(t, dir, string(v.State)+" again", func() {
			v.Detail = "read tcp 127.0.0.1:51234: connection reset by peer"
			b, err := s.Observe(front, v, 0, noon.Add(time.Hour))
			if must(t, err); !b.Since.Equal(noon) || b.Verdict.Detail != v.Detail {
				t.Fatalf("%+v", b)
			}
		})
	}
	v := home.Verdict{State: home.Mismatch, Detail: strings.Repeat("é", 1<<16)}
	if b := observe(t, s, front, v); len(b.Verdict.Detail) > 1000 {
		t.Fatalf("%d bytes of a device's words are kept", len(b.Verdict.Detail))
	}
}

func TestASignInThatWasLostIsQueuedAgain(t *testing.T) {
	s := enrolled(t, t.TempDir(), front)
	observe(t, s, front, at(home.Current, 1))
	es, err := s.Errands(10)
	must(t, err)
	must(t, s.Answered(es)) // answered, and the hub stopped before it wrote that the device is signed in
	observe(t, s, front, at(home.Current, 1))
	equal(t, "errands", errands(t, s), []string{"sign-in " + string(front) + " 1"})
	must(t, s.SignedIn(acct, 1, []home.DeviceID{front}))
	es, err = s.Errands(10)
	must(t, err)
	must(t, s.Answered(es))
	observe(t, s, front, at(home.Current, 1))
	if left := errands(t, s); len(left) != 0 {
		t.Fatal(left)
	}
}

func TestIntentListsWhatADeviceMayHold(t *testing.T) {
	dir := t.TempDir()
	s := enrolled(t, dir, front)
	for e := home.Epoch(2); e <= 4; e++ {
		begin(t, s, e)
	}
	_, err := s.Intend(front, 2, 4, noon)
	must(t, err)
	s = reopen(t, s, dir)
	begin(t, s, 5)
	i, err := s.Intend(front, 1, 5, noon.Add(time.Minute)) // a probe found something older than was thought
	must(t, err)
	equal(t, "holds", i.Holds, []home.Epoch{1, 2, 4, 5})
	for _, to := range []home.Epoch{0, 3, 4} {
		_, err := s.Intend(front, 1, to, noon)
		wants(t, err, home.ErrOldEpoch)
	}
	equal(t, "on disk", intents(t, reopen(t, s, dir)), []home.Intent{i})
}

func TestSignInsNeverGoBack(t *testing.T) {
	dir := t.TempDir()
	s := enrolled(t, dir, front, back)
	observe(t, s, front, at(home.Current, 1))
	must(t, s.SignedIn(acct, 1, []home.DeviceID{front, back, "mac-unknown"}))
	begin(t, s, 2)
	observe(t, s, front, at(home.Current, 2))
	must(t, s.SignedIn(acct, 1, []home.DeviceID{front})) // late, and twice
	if b, err := s.Binding(front); err != nil || b.CloudEpoch != 1 || b.Current(2) {
		t.Fatalf("%+v, %v", b, err)
	}
	must(t, s.SignedIn(acct, 2, []home.DeviceID{front, back}))
	if b, err := s.Binding(front); err != nil || !b.Current(2) {
		t.Fatalf("%+v, %v", b, err)
	}
	if b, err := s.Binding(back); err != nil || b.CloudEpoch != 0 {
		t.Fatalf("signed in without holding the epoch: %+v, %v", b, err)
	}
	must(t, s.SignedIn(acct, 1, []home.DeviceID{front}))
	if b, err := s.Binding(front); err != nil || b.CloudEpoch != 2 {
		t.Fatalf("%+v, %v", b, err)
	}
	unchanged(t, dir, "the same session again", func() { must(t, s.SignedIn(acct, 2, []home.DeviceID{front})) })
	wants(t, s.SignedIn("acc-2", 2, nil), home.ErrNoAccount)
}

func TestAnUnboundDeviceIsLeftOutUntilItIsBoundAgain(t *testing.T) {
	dir := t.TempDir()
	s := enrolled(t, dir, front, back)
	leftOut := func(want ...string) {
		t.Helper()
		keys, err := s.LeftOut()
		must(t, err)
		equal(t, "left out", keys, want)
	}
	leftOut()
	must(t, s.Unbind([]home.DeviceID{front}))
	s = reopen(t, s, dir)
	leftOut("mac:" + string(front))
	bind(t, s, front)
	leftOut()
	must(t, s.Unbind([]home.DeviceID{front}))
	must(t, s.Leave(acct))
	leftOut()
}

func TestTheProofRankOfADeviceNeverFalls(t *testing.T) {
	s := enrolled(t, t.TempDir(), front)
	for _, c := range []struct {
		v          home.Verdict
		rank, want home.ProofRank
	}{
		{at(home.Mismatch, 0), home.ProvesFirst, 0}, // it proved nothing
		{at(home.Stale, 0), home.ToldFirst, home.ToldFirst},
		{at(home.Current, 1), home.ProvesFirst, home.ProvesFirst},
		{at(home.Current, 1), home.HashFirst, home.ProvesFirst},
		{at(home.Unreachable, 0), 0, home.ProvesFirst},
	} {
		b, err := s.Observe(front, c.v, c.rank, noon)
		must(t, err)
		if onDisk, err := s.Binding(front); err != nil || b.ProofRank != c.want || onDisk.ProofRank != c.want {
			t.Errorf(
				"after %s at %s: %s, on disk %s, %v; want %s",
				c.v.State,
				c.rank,
				b.ProofRank,
				onDisk.ProofRank,
				err,
				c.want,
			)
		}
	}
}
