package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// play plays the whole reset. Everything runs until run ends; play itself has until ctx ends.
func (s *stage) play(run, ctx context.Context) (demoResult, error) {
	var none demoResult
	s.running.Go(func() { _ = s.sink.run(run) })
	s.running.Go(func() { s.note(s.service.Run(run)) })
	client, err := v1.New(s.service.URL())
	if err != nil {
		return none, err
	}
	first, second, third := home.NewSecret(rand.Text()), home.NewSecret(rand.Text()), home.NewSecret(rand.Text())
	if err := s.register(ctx, client, first); err != nil {
		return none, err
	}
	s.print("Registered %s. Three doors lead to the account: the tpCamera app, the Kasa app, and the website.", demoEmail)
	if err := s.change(ctx, client, first, second); err != nil {
		return none, err
	}
	s.print("Its password was changed once, long ago: it has password number 2, and some devices have missed that.")

	if err := s.build(run, client, first, second); err != nil {
		return none, err
	}
	began := time.Now()
	s.running.Go(func() { s.note(s.hub.Run(run)) })
	if err := s.hub.Login(ctx, daemon.Login{Email: demoEmail, Password: second}); err != nil {
		return none, err
	}
	// The owner remembers the password of before.
	if _, err := s.hub.Engine().Remember("", []home.Secret{first}); err != nil {
		return none, err
	}
	rows, err := s.until(ctx, "looking for devices", s.house.Devices(), func(r daemon.Row) bool {
		return r.Verdict != home.Unasked && r.Verdict != home.Unreachable &&
			(r.Verdict != home.Unsupported || r.Protocol == home.KasaCam || r.Protocol == home.NC ||
				r.Consent)
	})
	if err != nil {
		return none, err
	}
	result := demoResult{Door: s.o.door.Name, Discovered: time.Since(began).Milliseconds(), LeftAlone: []leftAlone{}}
	s.show.table(rows)
	s.print(
		"Found %d devices over mDNS and UDP in %d ms, and which password each one holds.",
		len(s.mine),
		result.Discovered,
	)
	mine := map[home.DeviceID]bool{}
	for _, d := range s.mine {
		mine[d.ID()] = true
	}
	var ids []home.DeviceID
	for _, r := range rows {
		if mine[r.ID] {
			ids = append(ids, r.ID)
			continue
		}
		result.LeftAlone = append(result.LeftAlone, leftAlone{r.Name, r.Protocol, r.Verdict, r.Hint})
		s.print("Left alone: %s (%s). %s.", r.Name, r.Verdict, r.Hint)
	}
	// The owner names each of them, and agrees to passwords in the clear: the demo uses no other network than this
	// machine.
	if err := errors.Join(s.hub.Engine().Bind(ids), s.hub.Engine().AllowCleartext(ids)); err != nil {
		return none, err
	}
	if rows, err := s.until(ctx, "binding", s.mine, current); err != nil {
		s.count(&result, rows, second)
		return result, err
	}
	s.print("Bound them to the account: what was behind was moved, and every device is signed in with password number 2.")

	late := s.mine[len(s.mine)-1]
	late.PowerOff()
	s.print("Somebody switches %s off.", late.Name())
	link, err := s.forget(ctx, client)
	if err != nil {
		return none, err
	}
	began = time.Now()
	if err := s.reset(ctx, link, third); err != nil {
		return none, err
	}
	s.print("A new password is set. Now the devices.")
	renewed := func(r daemon.Row) bool { return current(r) && r.Epoch > 2 }
	if _, err = s.until(ctx, "rekeying", s.mine[:len(s.mine)-1], renewed); err == nil {
		s.print("All but %s are back after %d ms. It is switched on again.", late.Name(), time.Since(began).Milliseconds())
		if err := late.PowerOn(); err != nil {
			return result, err
		}
	}
	rows, err2 := s.until(ctx, "rekeying", s.mine, renewed)
	err = errors.Join(err, err2)
	result.Rekeyed = time.Since(began).Milliseconds()
	if err != nil && ctx.Err() == nil {
		return none, err
	}
	s.count(&result, rows, third)
	s.show.table(rows)
	s.print(
		"%d of %d devices are signed in with password number %d, after %d ms.",
		result.Current,
		result.Devices,
		result.Epoch,
		result.Rekeyed,
	)
	if err != nil {
		return result, err
	}
	return result, s.doorsOpen(ctx, client, second, third)
}

func current(r daemon.Row) bool { return r.Verdict == home.Current }

// register registers the account and activates it with the link from the mail, as its owner would.
func (s *stage) register(ctx context.Context, client *v1.Client, pw home.Secret) error {
	params := map[string]string{"email": demoEmail, "password": pw.Reveal(), "appType": app.Web.AppType}
	if err := client.Call(ctx, home.Secret{}, "register", params, nil); err != nil {
		return app.AccountError("register", err)
	}
	link, err := s.sink.link(ctx, demoEmail, "/activate")
	if err != nil {
		return err
	}
	_, token, err := app.SplitLink(link)
	if err != nil {
		return err
	}
	if err := client.Call(ctx, home.Secret{}, "activate", map[string]string{"token": token.Reveal()}, nil); err != nil {
		return app.AccountError("activate", err)
	}
	return nil
}

// change changes the password as its owner who knows it does.
func (s *stage) change(ctx context.Context, client *v1.Client, old, pw home.Secret) error {
	params := map[string]string{
		"cloudUserName":    demoEmail,
		"oldCloudPassword": old.Reveal(),
		"newCloudPassword": pw.Reveal(),
		"appType":          app.Web.AppType,
	}
	if err := client.Call(ctx, home.Secret{}, "modifyCloudPassword", params, nil); err != nil {
		return app.AccountError("change the password", err)
	}
	return nil
}

// until waits until every one of these devices is there and done. On the way it shows how far it is.
func (s *stage) until(
	ctx context.Context, what string, devices []*sim.Device, done func(daemon.Row) bool,
) ([]daemon.Row, error) {
	want := make(map[home.DeviceID]bool, len(devices))
	for _, d := range devices {
		want[d.ID()] = true
	}
	s.show.begin(what, len(want))
	defer s.show.end()
	for {
		began := time.Now()
		_, all, err := s.hub.Engine().House()
		if err != nil {
			return nil, err
		}
		took := time.Since(began)
		rows := slices.DeleteFunc(all, func(r daemon.Row) bool { return !want[r.ID] })
		n := 0
		for _, r := range rows {
			if done(r) {
				n++
			}
		}
		s.show.progress(n, rows)
		if n == len(want) {
			return rows, nil
		}
		select {
		case <-ctx.Done():
			return rows, fmt.Errorf("%s: %d of %d devices", what, n, len(want))
		case <-s.changed:
			// A large house changes faster than a person can read, and drawing must not slow it down.
			select {
			case <-ctx.Done():
			case <-time.After(max(20*time.Millisecond, 10*took)):
			}
		case <-time.After(time.Second):
		}
	}
}

// forget asks for the mail through the chosen door, and waits until it is there.
func (s *stage) forget(ctx context.Context, client *v1.Client) (string, error) {
	params := map[string]string{"email": demoEmail, "appType": s.o.door.AppType}
	if err := client.Call(ctx, home.Secret{}, "getResetPasswordEmail", params, nil); err != nil {
		return "", app.AccountError("ask for the mail", err)
	}
	link, err := s.sink.link(ctx, demoEmail, "/reset")
	if err == nil {
		s.print(
			"Forgot the password, through the door %q. The mail has come over SMTP; its link is good for one use.",
			s.o.door.Name,
		)
	}
	return link, err
}

// reset sets the new password with a mailed link, as the page of a door does.
func (s *stage) reset(ctx context.Context, link string, pw home.Secret) error {
	base, token, err := app.SplitLink(link)
	if err != nil {
		return err
	}
	client, err := v1.New(base)
	if err != nil {
		return err
	}
	params := map[string]string{"token": token.Reveal(), "newPassword": pw.Reveal()}
	if err := client.Call(ctx, home.Secret{}, "resetPassword", params, nil); err != nil {
		return app.AccountError("reset the password", err)
	}
	return nil
}

// count compares what the daemon saw with what the simulated devices really hold.
func (s *stage) count(result *demoResult, rows []daemon.Row, pw home.Secret) {
	a, _, err := s.hub.Engine().House()
	if err != nil {
		return // nothing counts as current
	}
	result.Epoch, result.Devices, result.ByKind = a.Epoch, len(s.mine), map[home.Kind]kindCount{}
	truly := map[home.DeviceID]bool{}
	for _, d := range s.mine {
		held, signedIn := d.Epochs()
		truly[d.ID()] = d.Holds(demoEmail, pw) || held == a.Epoch && signedIn == a.Epoch
		k := result.ByKind[d.Kind()]
		k.Devices++
		result.ByKind[d.Kind()] = k
	}
	for _, r := range rows {
		switch {
		case r.Verdict == home.Current && r.Epoch == a.Epoch && truly[r.ID]:
			result.Current++
			k := result.ByKind[r.Kind]
			k.Current++
			result.ByKind[r.Kind] = k
		case r.Verdict == home.Stale:
			result.Stale++
		}
	}
	result.Failed = result.Devices - result.Current - result.Stale
}

// doorsOpen tries the old and the new password at every door.
func (s *stage) doorsOpen(ctx context.Context, client *v1.Client, first, second home.Secret) error {
	for _, d := range app.Doors() {
		for _, try := range []struct {
			pw   home.Secret
			want bool
		}{{first, false}, {second, true}} {
			params := map[string]string{
				"appType":       d.AppType,
				"cloudUserName": demoEmail,
				"cloudPassword": try.pw.Reveal(),
				"terminalUUID":  "",
			}
			err := client.Call(ctx, home.Secret{}, "login", params, nil)
			if (err == nil) != try.want {
				return fmt.Errorf("sign in through the door %q: unexpected answer: %w", d.Name, errors.Join(err, errDoor))
			}
		}
	}
	s.print("At all three doors the new password signs in, and the old one does not.")
	return nil
}

var errDoor = errors.New("a password was taken that should not have been, or the other way round")
