package site

import (
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/language"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// The bar of a change is full when no hub can do more, also where devices wait for a person.
func TestTheProgressOfAChangeEnds(t *testing.T) {
	v := &visit{t: language.English().Site}
	for _, c := range []struct {
		signedIn, unreachable, locked, stale int
		sentence, bar, text                  string
	}{
		{10, 0, 0, 0, "10 of 10 devices are signed in again.", `value="10" max="10"`, v.t.AllDone},
		{7, 0, 0, 3, "7 of 10 devices are signed in again.", `value="7" max="10"`, v.t.Waiting},
		{7, 3, 0, 0, "7 signed in, 3 need you.", `value="10" max="10"`, v.t.NeedText},
		{7, 1, 0, 2, "7 signed in, 1 needs you.", `value="8" max="10"`, v.t.Waiting},
		{7, 1, 2, 0, "7 signed in, 1 needs you.", `value="8" max="10"`, v.t.Waiting},
	} {
		p := account.Progress{Hubs: 1, SignedIn: c.signedIn}
		add := func(n int, d account.DeviceInfo) {
			for range n {
				p.Devices = append(p.Devices, d)
			}
		}
		add(c.signedIn, account.DeviceInfo{SignedIn: true, Verdict: home.Current})
		add(c.unreachable, account.DeviceInfo{Verdict: home.Unreachable})
		add(c.locked, account.DeviceInfo{Verdict: home.LockedOut})
		add(c.stale, account.DeviceInfo{Verdict: home.Stale})
		sentence, body := v.progress(p)
		if sentence != c.sentence || !strings.Contains(string(body), c.bar) || !strings.Contains(string(body), c.text) {
			t.Errorf("%+v: %q and\n%s", c, sentence, body)
		}
	}
}
