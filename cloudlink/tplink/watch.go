package tplink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// changed is the text for the owner after the cloud has ended the session.
const changed = "the cloud takes this hub's sign-in no more: the password was probably changed; " +
	"give the new one once, with: rekeyd login EMAIL --provider tplink"

// again is the time after which a refused token is presented once more, and the least time between two lists that
// Check asks for: 5 min where the devices are listed every 30.
func (c *Cloud) again() time.Duration { return c.o.Every / 6 }

// Run lists the account's devices now and then, until ctx ends. It sleeps while the hub follows no account of this
// cloud, and while the cloud has ended the session.
func (c *Cloud) Run(ctx context.Context) error {
	for {
		wait := c.look(ctx)
		asked := time.Now()
		for waiting := true; waiting; {
			var due <-chan time.Time
			if wait > 0 {
				due = time.After(time.Until(asked.Add(wait)))
			}
			select {
			case <-ctx.Done():
				return nil
			case <-c.doubt:
				wait = min(wait, c.again())
			case <-c.news:
				waiting = false
			case <-due:
				waiting = false
			}
		}
	}
}

// Check has the devices listed within five minutes: something suggests that the password was changed.
func (c *Cloud) Check() {
	select {
	case c.doubt <- struct{}{}:
	default:
	}
}

// look asks for the devices once, and returns when to ask again, 0 for not before the owner signs in.
func (c *Cloud) look(ctx context.Context) time.Duration {
	a, err := c.o.Store.Account()
	if err != nil || a.Provider != home.TPLink {
		return 0
	}
	session, err := c.o.Store.CloudSession(a.ID)
	if err != nil || session.Token.IsZero() {
		c.note(nil, changed)
		return 0
	}
	list, err := devices(ctx, session)
	if code, ok := ended(err); ok && code != v1.RefreshExpired && !session.Refresh.IsZero() {
		if session, err = c.refresh(ctx, a.ID, session); err == nil {
			list, err = devices(ctx, session)
		}
	}
	if _, ok := ended(err); ok {
		c.note(nil, changed)
		if c.refused = !c.refused; c.refused { // a cloud in trouble refuses valid tokens, too
			c.o.Log.Warn("the vendor's cloud refused this hub's sign-in", "account", a.ID, "again_in", c.again())
			return c.again()
		}
		c.end(a.ID, session)
		return 0
	}
	every := c.o.Every*9/10 + rand.N(c.o.Every/5+1)
	if err != nil {
		c.o.Log.Warn("the vendor's cloud does not answer", "err", err, "pause", every)
		c.note(nil, "the cloud does not answer")
		return every
	}
	c.refused = false
	c.note(list, "")
	return every
}

// ended returns whether err means that a token or a password is not valid any more.
func ended(err error) (v1.Code, bool) {
	e, ok := errors.AsType[*v1.Error](err)
	if !ok {
		return 0, false
	}
	switch e.Code {
	case v1.TokenExpired, v1.RefreshExpired, v1.WrongPassword, v1.SignedInAway:
		return e.Code, true
	}
	return e.Code, false
}

// refresh exchanges the refresh token for a new token.
func (c *Cloud) refresh(ctx context.Context, id home.AccountID, s home.CloudSession) (home.CloudSession, error) {
	terminal, err := c.o.Store.Terminal()
	if err != nil {
		return s, err
	}
	var got struct {
		Token   string `json:"token"`
		Refresh string `json:"refreshToken"`
	}
	params := map[string]string{"appType": appType, "terminalUUID": terminal, "refreshToken": s.Refresh.Reveal()}
	if s.URL, err = call(ctx, s.URL, home.Secret{}, "refreshToken", params, &got); err != nil {
		return s, err
	}
	if got.Token == "" {
		return s, fmt.Errorf("the cloud gave no token: %w", home.ErrUnavailable)
	}
	was := s
	if s.Token = home.NewSecret(got.Token); got.Refresh != "" {
		s.Refresh = home.NewSecret(got.Refresh)
	}
	return s, c.keep(id, was, s)
}

// keep writes a changed session. Where the owner has begun another meanwhile it returns home.ErrOldEpoch,
// and that one stays.
func (c *Cloud) keep(id home.AccountID, was, is home.CloudSession) error {
	c.keeping.Lock()
	defer c.keeping.Unlock()
	held, err := c.o.Store.CloudSession(id)
	if err != nil {
		return err
	}
	if !held.Token.Equal(was.Token) {
		return home.ErrOldEpoch
	}
	return c.o.Store.SaveCloudSession(id, is)
}

// end deletes a session that the cloud has ended, and records that in the history.
func (c *Cloud) end(id home.AccountID, s home.CloudSession) {
	was := s
	s.Token, s.Refresh = home.Secret{}, home.Secret{}
	err := c.keep(id, was, s)
	if errors.Is(err, home.ErrOldEpoch) {
		return // the owner has signed in meanwhile
	}
	if err == nil {
		err = c.o.Store.Record(home.Event{
			At: time.Now().UTC().Round(0), What: "cloud ended the sign-in", Detail: "the password was probably changed",
		})
	}
	if err != nil {
		c.o.Log.Error("session not forgotten", "err", err)
	}
	c.o.Log.Warn("the vendor's cloud has ended the sign-in", "account", id)
}

func (c *Cloud) note(list []home.Listed, trouble string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trouble = trouble; trouble == "" {
		c.listed, c.known = list, true
	}
}

// State returns whether the cloud has listed the account's devices lately, and why not.
func (c *Cloud) State() (up bool, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known && c.trouble == "" {
		return false, "the cloud was not asked yet"
	}
	return c.trouble == "", c.trouble
}

// Ended returns whether the cloud has refused this hub's sign-in: the password was probably changed.
func (c *Cloud) Ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trouble == changed
}

// Listed returns the account's devices as the cloud last listed them; ok is false before it has.
func (c *Cloud) Listed() (list []home.Listed, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.listed), c.known
}

// devices asks for the account's devices.
func devices(ctx context.Context, s home.CloudSession) ([]home.Listed, error) {
	var got struct {
		List []struct {
			MAC    string `json:"deviceMac"`
			Alias  string `json:"alias"`
			Name   string `json:"deviceName"`
			Model  string `json:"deviceModel"`
			Type   string `json:"deviceType"`
			Status int    `json:"status"`
		} `json:"deviceList"`
	}
	if _, err := call(ctx, s.URL, s.Token, "getDeviceList", struct{}{}, &got); err != nil {
		return nil, err
	}
	list := []home.Listed{}
	for _, d := range got.List {
		mac := strings.ToLower(strings.NewReplacer(":", "", "-", "").Replace(d.MAC))
		if len(mac) != 12 || strings.Trim(mac, "0123456789abcdef") != "" || len(list) == maxListed {
			continue
		}
		list = append(list, home.Listed{
			MAC: mac, Name: name(d.Type, d.Alias, d.Name, d.Model), Model: printable(d.Model), Online: d.Status == 1,
		})
	}
	return list, nil
}

// maxListed bounds the list of an account's devices that is kept.
const maxListed = 10_000
