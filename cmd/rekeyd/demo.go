//go:build !nodemo

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func newDemo() *cobra.Command {
	c := &cobra.Command{
		Use: "demo", Short: "Show the main job, on this machine alone: a simulated house, a forgotten password, every device back", Args: args(cobra.NoArgs),
		Long: `Show the main job, on this machine alone. A house of simulated devices is announced on the loopback interface; an account
is registered, the house is found and bound, the password is forgotten and reset through a door, and every device is
moved to the new one and signed in again. The exit code is 0 only if every device was seen to be current.`,
	}
	f := c.Flags()
	o := demoOptions{}
	f.StringVar(&o.door, "door", "kasa", "through which door the password is reset: kasa, tpcamera or web")
	f.IntVar(&o.devices, "devices", 14, "how many devices the house has")
	f.BoolVar(&o.json, "json", false, "print one JSON object at the end, and all else on standard error")
	f.BoolVar(&o.keep, "keep", false, "leave everything running afterwards, with its pages, until interrupted")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log what happens inside")
	f.DurationVar(&o.patience, "timeout", 2*time.Minute, "give up after this time")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !slices.ContainsFunc(doors, func(d struct{ name, appType string }) bool { return d.name == o.door }) {
			return usage(c, fmt.Errorf("door %q: want kasa, tpcamera or web", o.door))
		}
		if o.devices < len(mix) || o.devices > 5000 {
			return usage(c, fmt.Errorf("%d devices: want %d to 5000", o.devices, len(mix)))
		}
		o.out, o.errs = c.OutOrStdout(), c.ErrOrStderr()
		return demo(c.Context(), o)
	}
	return c
}

type demoOptions struct {
	door                string
	devices             int
	json, keep, verbose bool
	patience            time.Duration
	out, errs           io.Writer
}

// demoResult is what --json prints.
type demoResult struct {
	Door       string                  `json:"door"`
	Epoch      home.Epoch              `json:"epoch"`
	Devices    int                     `json:"devices"`
	Current    int                     `json:"current"`
	Stale      int                     `json:"stale"`
	Failed     int                     `json:"failed"`
	Discovered int64                   `json:"discovered_ms"`
	Rekeyed    int64                   `json:"rekeyed_ms"`
	ByKind     map[home.Kind]kindCount `json:"by_kind"`
}

type kindCount struct {
	Devices int `json:"devices"`
	Current int `json:"current"`
}

// mix is what a house of 14 consists of; a larger one holds the same in proportion.
var mix = []struct {
	kind     home.Kind
	protocol home.Protocol
	share    int
}{{home.Camera, home.Native, 3}, {home.Plug, home.IOT, 4}, {home.Switch, home.IOT, 3}, {home.Bulb, home.IOT, 4}}

const demoEmail = "anna@example.org"

// demo is the story, from the registration to the last device.
func demo(ctx context.Context, o demoOptions) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	d, err := newStage(o)
	if err != nil {
		return err
	}
	defer d.leave(stop)
	limited, done := context.WithTimeout(ctx, o.patience)
	defer done()
	result, err := d.play(ctx, limited)
	if o.json && result.Devices > 0 { // whatever came of it
		if err := printJSON(o.out, result); err != nil {
			return err
		}
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return &home.Error{Op: "demo", Err: errors.New("it was ended before it was done")}
	case err != nil && limited.Err() != nil:
		return &home.Error{Op: "demo", Err: fmt.Errorf("not done within %v: %v", o.patience, err), Hint: "give a slow machine more time with --timeout, and see why with --verbose"}
	case err != nil:
		return err
	}
	if o.keep {
		d.say("Everything stays up until you press Ctrl-C:")
		d.say("  the house    http://%s", d.app.page())
		d.say("  the account  %s  (%s)", d.app.accountURL(), demoEmail)
		<-ctx.Done()
	}
	if result.Current != result.Devices {
		return &home.Error{Op: "demo", Err: fmt.Errorf("%d of %d devices are not current", result.Devices-result.Current, result.Devices), Hint: "see why with --verbose"}
	}
	return nil
}

// play tells the story. run is the time that everything runs, ctx the time that the story may take.
func (s *stage) play(run, ctx context.Context) (demoResult, error) {
	var none demoResult
	s.running.Go(func() { _ = s.sink.run(run) })
	s.running.Go(func() { s.app.run(run, s.app.cloudParts()) })
	client, err := v1.New(s.app.accountURL())
	if err != nil {
		return none, err
	}
	first, second := home.NewSecret(rand.Text()), home.NewSecret(rand.Text())
	if err := s.register(ctx, client, first); err != nil {
		return none, err
	}
	s.say("Registered %s. Three doors lead to the account: the tpCamera app, the Kasa app, and the website.", demoEmail)

	if err := s.build(run, client, first); err != nil {
		return none, err
	}
	began := time.Now()
	s.running.Go(func() { s.app.run(run, []part{{"rekeyer", s.app.engine.Run}}) })
	if err := s.app.login(ctx, daemon.Login{Email: demoEmail, Password: first}); err != nil {
		return none, err
	}
	rows, err := s.until(ctx, "looking for devices", func(r daemon.Row) bool { return r.Verdict != home.Unasked && r.Verdict != home.Unreachable })
	if err != nil {
		return none, err
	}
	result := demoResult{Door: s.o.door, Discovered: time.Since(began).Milliseconds()}
	s.say("Found %d devices over mDNS and UDP in %d ms.", len(rows), result.Discovered)

	ids := make([]home.DeviceID, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	// Whoever plays has no other network than this machine.
	if err := errors.Join(s.app.engine.AllowCleartextBind(true), s.app.engine.Bind(ids)); err != nil {
		return none, err
	}
	if rows, err := s.until(ctx, "binding", current); err != nil {
		s.count(&result, rows, first)
		return result, err
	}
	s.say("Bound them to the account: every device is signed in with password number 1.")

	link, err := s.forget(ctx, client)
	if err != nil {
		return none, err
	}
	began = time.Now()
	if err := s.reset(ctx, link, second); err != nil {
		return none, err
	}
	s.say("A new password is set. Now the devices.")
	rows, err = s.until(ctx, "rekeying", func(r daemon.Row) bool { return current(r) && r.Epoch > 1 })
	result.Rekeyed = time.Since(began).Milliseconds()
	if err != nil && ctx.Err() == nil {
		return none, err
	}
	s.count(&result, rows, second)
	s.show.table(rows)
	s.say("%d of %d devices are signed in with password number %d, after %d ms.", result.Current, result.Devices, result.Epoch, result.Rekeyed)
	if err != nil {
		return result, err
	}
	return result, s.doorsOpen(ctx, client, first, second)
}

func current(r daemon.Row) bool { return r.Verdict == home.Current }

func (s *stage) register(ctx context.Context, client *v1.Client, pw home.Secret) error {
	params := map[string]string{"email": demoEmail, "password": pw.Reveal(), "appType": doors[2].appType}
	if err := client.Call(ctx, home.Secret{}, "register", params, nil); err != nil {
		return accountError("register", err)
	}
	link, err := s.sink.link(ctx, demoEmail, "/activate")
	if err != nil {
		return err
	}
	_, token, err := splitLink(link)
	if err != nil {
		return err
	}
	if err := client.Call(ctx, home.Secret{}, "activate", map[string]string{"token": token.Reveal()}, nil); err != nil {
		return accountError("activate", err)
	}
	return nil
}

// until waits until every device of the house is there and done. On the way it shows how far it is.
func (s *stage) until(ctx context.Context, what string, done func(daemon.Row) bool) ([]daemon.Row, error) {
	want := make(map[home.DeviceID]bool, len(s.house.Devices()))
	for _, d := range s.house.Devices() {
		want[d.ID()] = true
	}
	s.show.begin(what, len(want))
	defer s.show.end()
	for {
		_, all := s.app.engine.House()
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
			// A large house changes faster than anybody can look.
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		case <-time.After(time.Second):
		}
	}
}

// forget asks for the mail through the chosen door, and waits until it is there.
func (s *stage) forget(ctx context.Context, client *v1.Client) (string, error) {
	for _, d := range doors {
		if d.name != s.o.door {
			continue
		}
		params := map[string]string{"email": demoEmail, "appType": d.appType}
		if err := client.Call(ctx, home.Secret{}, "getResetPasswordEmail", params, nil); err != nil {
			return "", accountError("ask for the mail", err)
		}
	}
	link, err := s.sink.link(ctx, demoEmail, "/reset")
	if err == nil {
		s.say("Forgot the password, through the door %q. The mail has come over SMTP; its link is good for one use.", s.o.door)
	}
	return link, err
}

func (s *stage) reset(ctx context.Context, link string, pw home.Secret) error {
	base, token, err := splitLink(link)
	if err != nil {
		return err
	}
	client, err := v1.New(base)
	if err != nil {
		return err
	}
	params := map[string]string{"token": token.Reveal(), "newPassword": pw.Reveal()}
	if err := client.Call(ctx, home.Secret{}, "resetPassword", params, nil); err != nil {
		return accountError("reset the password", err)
	}
	return nil
}

// count compares what the daemon saw with what the simulated devices really hold.
func (s *stage) count(result *demoResult, rows []daemon.Row, pw home.Secret) {
	a, _ := s.app.engine.House()
	result.Epoch, result.Devices, result.ByKind = a.Epoch, len(s.house.Devices()), map[home.Kind]kindCount{}
	truly := map[home.DeviceID]bool{}
	for _, d := range s.house.Devices() {
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
	for _, d := range doors {
		for _, try := range []struct {
			pw   home.Secret
			want bool
		}{{first, false}, {second, true}} {
			params := map[string]string{"appType": d.appType, "cloudUserName": demoEmail, "cloudPassword": try.pw.Reveal(), "terminalUUID": ""}
			err := client.Call(ctx, home.Secret{}, "login", params, nil)
			if (err == nil) != try.want {
				return fmt.Errorf("sign in through the door %q: unexpected answer: %w", d.name, errors.Join(err, errDoor))
			}
		}
	}
	s.say("At all three doors the new password signs in, and the old one does not.")
	return nil
}

var errDoor = errors.New("a password was taken that should not have been, or the other way round")
