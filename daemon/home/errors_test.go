package home_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestTheHintNearestToTheSurfaceIsGiven(t *testing.T) {
	inner := &home.Error{Op: "open", Device: "lamp", Err: home.ErrCorrupt, Hint: "inner"}
	silent := &home.Error{Op: "rekey", Err: fmt.Errorf("x: %w", inner)}
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{home.ErrBusy, ""},
		{inner, "inner"},
		{fmt.Errorf("a: %w", inner), "inner"},
		{&home.Error{Op: "rekey", Err: inner, Hint: "outer"}, "outer"},
		{silent, "inner"},
		{fmt.Errorf("a: %w", silent), "inner"},
		{&home.Error{Op: "rekey", Err: home.ErrBusy}, ""},
		{errors.Join(home.ErrBusy, inner), "inner"},
	} {
		if got := home.HintOf(c.err); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
	if got := silent.Error(); got != "rekey: x: open lamp: file is damaged" {
		t.Error(got)
	}
	if !errors.Is(silent, home.ErrCorrupt) {
		t.Error("the sentinel is lost")
	}
}

func TestEverySentinelTravelsAsACode(t *testing.T) {
	all := map[string]error{
		"ErrOldEpoch": home.ErrOldEpoch, "ErrNoEpoch": home.ErrNoEpoch, "ErrNotFound": home.ErrNotFound,
		"ErrNoAccount":   home.ErrNoAccount,
		"ErrUnreachable": home.ErrUnreachable, "ErrRefused": home.ErrRefused, "ErrNotOpened": home.ErrNotOpened,
		"ErrBusy":    home.ErrBusy,
		"ErrOffline": home.ErrOffline, "ErrForeign": home.ErrForeign, "ErrForged": home.ErrForged,
		"ErrReplayed":   home.ErrReplayed,
		"ErrCredential": home.ErrCredential, "ErrLocked": home.ErrLocked, "ErrCorrupt": home.ErrCorrupt,
		"ErrNewer":  home.ErrNewer,
		"ErrNewKey": home.ErrNewKey, "ErrUnavailable": home.ErrUnavailable, "ErrBudget": home.ErrBudget,
		"ErrCode": home.ErrCode, "ErrSlow": home.ErrSlow,
	}
	seen := map[string]bool{}
	for _, name := range constants(t, "errors.go", "Err") {
		err := all[name]
		code := home.ErrorCode(fmt.Errorf("wrapped: %w", &home.Error{Op: "x", Err: err}))
		if err == nil || code == "" || seen[code] || !errors.Is(home.ErrorOf(code), err) ||
			home.ErrorCode(home.ErrorOf(code)) != code {
			t.Errorf("%s: code %q, back to %v", name, code, home.ErrorOf(code))
		}
		seen[code] = true
	}
	if home.ErrorCode(nil) != "" || home.ErrorCode(errors.New("x")) != "" || home.ErrorOf("") != nil ||
		home.ErrorOf("x") != nil {
		t.Error("what is no sentinel has a code")
	}
	if got := home.ErrorCode(errors.Join(home.ErrUnavailable, home.ErrLocked)); got != "locked" {
		t.Errorf("of two the first of the table counts: %q", got)
	}
}
