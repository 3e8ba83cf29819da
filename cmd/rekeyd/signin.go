package main

import (
	"context"
	"fmt"

	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/tplink"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// login signs the hub in to an account: a pairing word from the account's page serves as well as e-mail address and password.
func (a *app) login(ctx context.Context, in daemon.Login) error {
	if in.Provider == home.TPLink {
		epoch, err := a.vendor.Login(ctx, tplink.Login{URL: in.AccountURL, Email: in.Email, Password: in.Password, Code: in.Code})
		if err != nil {
			return err
		}
		a.engine.Began(epoch)
		return a.engine.Rekey(nil, false)
	}
	if !in.Pairing.IsZero() {
		p, err := pairing.Parse(in.Pairing.Reveal())
		if err != nil {
			return &home.Error{Op: "sign in", Err: err, Hint: "copy the whole word from the page of your account"}
		}
		return a.enrol(ctx, p, "", home.Secret{})
	}
	base := in.AccountURL
	if base == "" {
		base = a.accountURL()
	}
	client, err := v1.New(base)
	if err != nil {
		return err
	}
	terminal, err := a.store.Terminal()
	if err != nil {
		return err
	}
	var session struct {
		Token string `json:"token"`
		Email string `json:"email"`
	}
	params := map[string]string{
		"appType": doors[2].appType, "cloudUserName": in.Email, "cloudPassword": in.Password.Reveal(), "terminalUUID": terminal,
	}
	if err := client.Call(ctx, home.Secret{}, "login", params, &session); err != nil {
		return accountError("sign in", err)
	}
	var word struct {
		Pairing string `json:"pairing"`
	}
	if err := client.Call(ctx, home.NewSecret(session.Token), "createPairing", struct{}{}, &word); err != nil {
		return accountError("pair this hub", err)
	}
	p, err := pairing.Parse(word.Pairing)
	if err != nil {
		return fmt.Errorf("pair this hub: %w: the account service answered no pairing", home.ErrUnavailable)
	}
	return a.enrol(ctx, p, session.Email, in.Password)
}

func (a *app) enrol(ctx context.Context, p pairing.Pairing, email string, password home.Secret) error {
	if err := a.link.Enrol(ctx, p, email, password); err != nil {
		return err
	}
	a.engine.Began(0)
	if password.IsZero() {
		return nil
	}
	return a.engine.Rekey(nil, false) // what waited for the password waits no longer
}

// linkStore is the store as the link knows it: an account at the vendor's cloud is none of the link's.
type linkStore struct{ *localstore.Store }

func (s linkStore) Account() (home.Account, error) {
	a, err := s.Store.Account()
	if err == nil && a.Provider == home.TPLink {
		return home.Account{}, home.ErrNoAccount
	}
	return a, err
}

// linkState tells how the account is reached.
func (a *app) linkState() (up bool, reason string) {
	if acct, err := a.store.Account(); err == nil && acct.Provider == home.TPLink {
		return a.vendor.State()
	}
	return a.link.State()
}
