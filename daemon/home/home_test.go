package home_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rekeyd/rekeyd/daemon/home"
)

const last = home.LastEpoch

func TestEpochsNeverGoBack(t *testing.T) {
	if last != math.MaxUint64 {
		t.Fatalf("the last epoch is %d", last)
	}
	for _, c := range []struct {
		e, next home.Epoch
		err     error
	}{
		{0, 1, nil}, {1, 2, nil}, {last - 1, last, nil}, {last, last, home.ErrNoEpoch},
	} {
		if next, err := c.e.Next(); next != c.next || !errors.Is(err, c.err) {
			t.Errorf("after %d: %d, %v; want %d, %v", c.e, next, err, c.next, c.err)
		}
	}
	for _, c := range []struct {
		e, prev home.Epoch
		want    bool
	}{
		{1, 0, true},
		{2, 1, true},
		{last, last - 1, true},
		{1, 1, false},
		{0, 0, false},
		{last, last, false}, // equal
		{1, 2, false},
		{0, 1, false},
		{last - 1, last, false}, // older
		{3, 1, false},
		{last, 1, false}, // newer than the next
		{0, last, false},
		{1, last, false}, // a wrap would revive every old message
	} {
		if got := c.e.Succeeds(c.prev); got != c.want {
			t.Errorf("%d succeeds %d: %t", c.e, c.prev, got)
		}
	}
}

func TestAnIntentListsAllThatADeviceMayHold(t *testing.T) {
	then, now := time.Unix(1, 0), time.Unix(2, 0)
	for _, c := range []struct {
		from, to, next home.Epoch
		holds          []home.Epoch
		err            error
	}{
		{4, 5, 6, []home.Epoch{4, 5, 6}, nil},
		{0, 5, 6, []home.Epoch{5, 6}, nil}, // it is unknown which one it holds
		{4, 5, 5, []home.Epoch{4, 5}, nil}, // the same again
		{5, 5, 5, []home.Epoch{5}, nil},
		{9, 5, 7, []home.Epoch{5, 7, 9}, nil}, // it holds what a later intent gave it
		{4, 5, last, []home.Epoch{4, 5, last}, nil},
		{4, last, last, []home.Epoch{4, last}, nil},
		{4, 5, 4, []home.Epoch{4, 5}, home.ErrOldEpoch},
		{4, last, 0, []home.Epoch{4, last}, home.ErrOldEpoch},
	} {
		i := home.NewIntent("mac-1", c.from, c.to, then)
		before := slices.Clone(i.Holds)
		got, err := i.Supersede(c.next, now)
		if !errors.Is(err, c.err) || !slices.Equal(got.Holds, c.holds) || got.Device != "mac-1" {
			t.Errorf("from %d to %d, then %d: %+v, %v; want %v, %v", c.from, c.to, c.next, got, err, c.holds, c.err)
		}
		want := home.Intent{Device: "mac-1", Holds: before, To: c.to, At: then}
		if i.To != want.To || !slices.Equal(i.Holds, want.Holds) || i.At != then {
			t.Errorf("the intent itself was changed: %+v", i)
		}
		if c.err == nil && (got.To != c.next || got.At != now) || c.err != nil && (got.To != c.to || got.At != then) {
			t.Errorf("from %d to %d, then %d: goes to %d at %v", c.from, c.to, c.next, got.To, got.At)
		}
	}
}

func TestTwoIntentsShareNothing(t *testing.T) {
	room := append(make([]home.Epoch, 0, 8), 4, 9) // append or insert in place would show in the intent it came from
	i := home.Intent{Device: "mac-1", Holds: room, To: 4}
	five, err := i.Supersede(5, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	six, err := i.Supersede(6, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ got, want []home.Epoch }{
		"the first": {i.Holds, []home.Epoch{4, 9}}, "one": {five.Holds, []home.Epoch{4, 5, 9}}, "another": {
			six.Holds,
			[]home.Epoch{4, 6, 9},
		},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s holds %v, want %v", what, c.got, c.want)
		}
	}
}

func TestIntentsForgetNothingHoweverOftenTheyAreSuperseded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		epoch := rapid.Map(
			rapid.OneOf(rapid.Uint64Range(1, 6), rapid.Uint64Range(math.MaxUint64-3, math.MaxUint64)),
			func(e uint64) home.Epoch { return home.Epoch(e) },
		)
		from, to := epoch.Draw(t, "from"), epoch.Draw(t, "to")
		i := home.NewIntent("d", from, to, time.Time{})
		may := []home.Epoch{from, to}
		for range rapid.IntRange(0, 8).Draw(t, "n") {
			next := epoch.Draw(t, "next")
			got, err := i.Supersede(next, time.Time{})
			if (err != nil) != (next < i.To) {
				t.Fatalf("%+v to %d: %v", i, next, err)
			}
			if err == nil {
				may = append(may, next)
			}
			i = got
		}
		slices.Sort(may)
		if may = slices.Compact(may); !slices.Equal(i.Holds, may) || !slices.Contains(may, i.To) {
			t.Fatalf("%+v, may hold %v", i, may)
		}
	})
}

func TestAVerdictIsReadAgainstTheNewestEpoch(t *testing.T) {
	for _, c := range []struct {
		state  home.State
		epoch  home.Epoch
		newest home.Epoch
		want   home.State
	}{
		{home.Current, 5, 5, home.Current},
		{home.Current, 4, 5, home.Stale},
		{home.Current, 6, 5, home.Current},
		{home.Current, last, last, home.Current},
		{home.Current, last - 1, last, home.Stale},
		{home.Current, 0, 1, home.Stale},
		{home.Current, 0, 0, home.Current},
		{home.Stale, 5, 5, home.Current},
		{home.Stale, 4, 5, home.Stale},
		{home.Stale, 6, 5, home.Stale},
		{home.Stale, last, last, home.Current},
		{home.Stale, 0, 5, home.Stale},
		{home.Stale, 0, 0, home.Stale}, // the protocol cannot prove it: never current for that
		{home.Mismatch, 5, 5, home.Mismatch},
		{home.Unreachable, 4, 5, home.Unreachable},
		{home.Pending, 5, 5, home.Pending},
		{home.Blank, 0, 5, home.Blank},
	} {
		v := home.Verdict{State: c.state, Epoch: c.epoch, Detail: "words"}.Against(c.newest)
		if v.State != c.want || v.Epoch != c.epoch || v.Detail != "words" {
			t.Errorf("%s of %d against %d: %+v, want %s", c.state, c.epoch, c.newest, v, c.want)
		}
		if v.HoldsOlder() != (c.want == home.Stale) {
			t.Errorf("%s holds an older credential: %t", v.State, v.HoldsOlder())
		}
	}
}

func TestVerdictsThatSayTheSame(t *testing.T) {
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	v := home.Verdict{State: home.LockedOut, Epoch: 3, Until: at, Detail: "one"}
	if w := (home.Verdict{
		State: home.LockedOut, Epoch: 3, Until: at.In(time.FixedZone("x", 3600)),
		Detail: "two",
	}); !v.Same(w) {
		t.Error("the same moment in another zone is not the same")
	}
	for _, w := range []home.Verdict{{State: home.Mismatch, Epoch: 3, Until: at}, {
		State: home.LockedOut, Epoch: 4,
		Until: at,
	}, {State: home.LockedOut, Epoch: 3, Until: at.Add(1)}} {
		if v.Same(w) {
			t.Errorf("%+v is the same as %+v", w, v)
		}
	}
}

// constants returns the values of the constants, or the names of the variables, of a type or prefix in a file: what
// is added there cannot be forgotten here.
func constants(t *testing.T, file, typ string) (values []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == typ {
			values = append(values, strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`))
		}
		if typ == "Err" && strings.HasPrefix(spec.Names[0].Name, "Err") {
			values = append(values, spec.Names[0].Name)
		}
		return true
	})
	if len(values) == 0 {
		t.Fatalf("no %s in %s", typ, file)
	}
	return values
}

func TestEveryStateThatNeedsAPersonHasAHint(t *testing.T) {
	for _, s := range constants(t, "verdict.go", "State") {
		hint := home.Verdict{State: home.State(s), Until: time.Now()}.Hint("front-door")
		unattended := s == string(home.Current) || s == string(home.Stale)
		if unattended != (hint == "") || strings.Contains(hint, "\n") || strings.HasSuffix(hint, ".") ||
			strings.Contains(hint, "%!") {
			t.Errorf("%s: %q", s, hint)
		}
	}
	until := time.Date(2026, 1, 1, 14, 5, 0, 0, time.Local)
	slow := home.Verdict{State: home.Unreachable, Detail: home.ErrSlow.Error()}
	if hint := slow.Hint("x"); hint == "" || strings.Contains(hint, "switch x on") {
		t.Errorf("a slow device has the hint %q", hint)
	}
	if hint := (home.Verdict{State: home.LockedOut, Until: until}).Hint("x"); !strings.Contains(hint, "14:05") {
		t.Errorf("locked out until 14:05: %q", hint)
	}
}

func TestABindingIsCurrentOnlyAtBothEnds(t *testing.T) {
	whole := home.Binding{Verdict: home.Verdict{State: home.Current, Epoch: 5}, DeviceEpoch: 5, CloudEpoch: 5}
	if !whole.Current(5) || whole.Current(4) || whole.Current(6) || whole.Current(0) || whole.Current(last) {
		t.Error("a whole binding is current at 5 and at nothing else")
	}
	for name, change := range map[string]func(*home.Binding){
		"the device is behind":   func(b *home.Binding) { b.DeviceEpoch = 4 },
		"the account is behind":  func(b *home.Binding) { b.CloudEpoch = 4 },
		"the device is ahead":    func(b *home.Binding) { b.DeviceEpoch = 6 },
		"the account is ahead":   func(b *home.Binding) { b.CloudEpoch = last },
		"it was last seen stale": func(b *home.Binding) { b.Verdict.State = home.Stale },
		"it was not asked":       func(b *home.Binding) { b.Verdict.State = home.Unasked },
		"it is pending":          func(b *home.Binding) { b.Verdict.State = home.Pending },
		"nothing was seen":       func(b *home.Binding) { *b = home.Binding{} },
	} {
		b := whole
		if change(&b); b.Current(5) {
			t.Errorf("%s: current", name)
		}
	}
}

func TestKindsAreReadInAnyLetterCase(t *testing.T) {
	for _, k := range constants(t, "device.go", "Kind") {
		for _, s := range []string{k, strings.ToUpper(k), strings.ToUpper(k[:1]) + k[1:]} {
			if got, err := home.ParseKind(s); err != nil || string(got) != k {
				t.Errorf("%q is %q, %v", s, got, err)
			}
		}
	}
	for _, s := range []string{"", "kamera", "camera ", "plugs", "\xff"} {
		if k, err := home.ParseKind(s); err == nil || k != "" || !strings.Contains(err.Error(), "bulb") {
			t.Errorf("%q is %q, %v", s, k, err)
		}
	}
}

func TestADevicesNameIsTypedAsOneWord(t *testing.T) {
	for name, want := range map[string]string{
		"lamp": "lamp", "mac-5ce931010203": "mac-5ce931010203", "front door": "'front door'", "": "''",
		"Anna's": `'Anna'\''s'`, "-rf": "'-rf'", "a;b": "'a;b'", "Küche": "'Küche'",
	} {
		if got := home.InCommand(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}
