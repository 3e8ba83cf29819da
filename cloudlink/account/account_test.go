package account_test

import (
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

func TestAResetBringsEveryDeviceBackThroughEachDoor(t *testing.T) {
	for _, door := range []string{"kasa", "tpcamera", "web"} {
		t.Run(door, func(t *testing.T) {
			c := open(t, nil)
			c.register()
			token, refresh, code := c.login(password, "Kasa_Android")
			if code != 0 {
				t.Fatal(code)
			}
			type entry struct{ token, refresh string }
			old := map[string]entry{}
			for _, app := range []string{"Kasa_Android", "tpCamera_Android", "rekeyd_Web", "Tapo_iOS"} {
				tk, rf, code := c.login(password, app)
				if code != 0 {
					t.Fatal(code)
				}
				old[app] = entry{tk, rf}
			}
			hub, secret := c.hub(c.pair(token))
			gs := hub.plugs("plug-", 300)
			if listed, online := c.online(token); listed != 300 || online != 0 {
				t.Fatalf("%d listed, %d online before any sign-in", listed, online)
			}
			hub.signIn(1, secret, gs)
			if _, online := c.online(token); online != 300 {
				t.Fatalf("%d online, want 300", online)
			}

			if code := c.reset(c.forgot(door), second); code != 0 {
				t.Fatalf("resetPassword: %d", code)
			}
			if code := c.call(token, "getDeviceList", p{}, nil); code != v1.TokenExpired {
				t.Errorf("old token: %d", code)
			}
			if code := c.renew("", refresh); code != v1.RefreshExpired {
				t.Errorf("old refresh token: %d", code)
			}
			for app, e := range old {
				if code := c.call(e.token, "getDeviceList", p{}, nil); code != v1.TokenExpired {
					t.Errorf("old token of %s: %d", app, code)
				}
				if code := c.renew(app, e.refresh); code != v1.RefreshExpired {
					t.Errorf("old refresh token of %s: %d", app, code)
				}
				if _, _, code := c.login(password, app); code != v1.WrongPassword {
					t.Errorf("old password at %s: %d", app, code)
				}
				if _, _, code := c.login(second, app); code != 0 {
					t.Errorf("new password at %s: %d", app, code)
				}
			}
			token, refresh, code = c.login(second, "tpCamera_Android")
			if code != 0 {
				t.Fatalf("new password: %d", code)
			}
			if code := c.renew("", refresh); code != 0 {
				t.Errorf("new refresh token: %d", code)
			}
			if listed, online := c.online(token); listed != 300 || online != 0 {
				t.Fatalf("%d listed, %d online after the reset", listed, online)
			}

			g := want[*wire.Grant](t, hub.next(""))
			err := g.Notice.Verify(c.s.Identity().Keys, hub.account)
			if err != nil || g.Notice.Epoch != 2 || g.Notice.Via != door || g.Notice.Cause != "reset" {
				t.Fatalf("notice %+v: %v", g.Notice, err)
			}
			in, err := hub.id.OpenGrant(hub.id.Name, g)
			if err != nil || in.Password.Reveal() != second || in.Username != email || in.Secret.Equal(secret) {
				t.Fatalf("grant: %v", err)
			}
			hub.notice(2)
			_, w := hub.hello(1)
			challenge, err := hub.id.Open(wire.ChallengeInfo(hub.account, hub.id.Name), w.Challenge)
			if err != nil {
				t.Fatal(err)
			}
			raw, id, _ := hub.acks(2, in.Secret, challenge)
			hub.publish(raw)
			if r := want[*wire.Receipt](t, hub.next(id)); r.Epoch != 2 {
				t.Fatalf("receipt %+v", r)
			}
			hub.signIn(2, in.Secret, gs)
			if _, online := c.online(token); online != 300 {
				t.Fatalf("%d online, want 300", online)
			}
			eventually(t, "the mail about it", func() bool { return c.mail.count("Your password was changed") == 1 })
		})
	}
}
