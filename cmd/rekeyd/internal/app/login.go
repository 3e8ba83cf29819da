package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/tplink"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// Login signs the hub in to an account, with its e-mail address and password or with a pairing word from the account's
// page.
func (h *Hub) Login(ctx context.Context, in daemon.Login) error {
	if in.Provider == home.TPLink {
		if in.Exposed {
			if err := h.expose(); err != nil {
				return err
			}
		}
		_, err := h.vendor.Login(ctx, tplink.Login{URL: in.AccountURL, Email: in.Email, Password: in.Password, Code: in.Code})
		if err != nil {
			return err
		}
		h.engine.AccountChanged()
		return h.engine.Rekey(nil, false)
	}
	if !in.Pairing.IsZero() {
		p, err := pairing.Parse(in.Pairing.Reveal())
		if err != nil {
			return &home.Error{Op: "sign in", Err: err, Hint: "copy the whole word from the page of your account"}
		}
		if err := h.enrol(ctx, p, "", home.Secret{}); err != nil {
			return err
		}
		h.removeReplacedHere()
		return nil
	}
	base := in.AccountURL
	if base == "" {
		base = h.AccountURL()
	}
	client, err := v1.New(base)
	if err != nil {
		return err
	}
	terminal, err := h.store.Terminal()
	if err != nil {
		return err
	}
	var session struct {
		Token string `json:"token"`
		Email string `json:"email"`
	}
	params := map[string]string{
		"appType": Web.AppType, "cloudUserName": in.Email, "cloudPassword": in.Password.Reveal(), "terminalUUID": terminal,
	}
	if err := client.Call(ctx, home.Secret{}, "login", params, &session); err != nil {
		return AccountError("sign in", err)
	}
	var word struct {
		Pairing string `json:"pairing"`
	}
	if err := client.Call(ctx, home.NewSecret(session.Token), "createPairing", struct{}{}, &word); err != nil {
		return AccountError("pair this hub", err)
	}
	p, err := pairing.Parse(word.Pairing)
	if err != nil {
		return fmt.Errorf("pair this hub: %w: the account service answered no pairing", home.ErrUnavailable)
	}
	if err := h.enrol(ctx, p, session.Email, in.Password); err != nil {
		return err
	}
	h.removeReplaced(ctx, client, home.NewSecret(session.Token))
	return nil
}

// loginAgain is Login; without an e-mail address, to the account that the hub has.
func (h *Hub) loginAgain(ctx context.Context, in daemon.Login) error {
	if in.Email == "" {
		a, err := h.store.Account()
		if err != nil {
			return err
		}
		in.Email, in.Provider = a.Email, a.Provider
	}
	return h.Login(ctx, in)
}

// removeReplaced has the account service remove the hub that this one replaces after a restore. A failure is repeated
// at the next login; status shows it until then.
func (h *Hub) removeReplaced(ctx context.Context, client *v1.Client, token home.Secret) {
	old, err := h.store.Replaced()
	if err == nil && old != "" {
		err = client.Call(ctx, token, "removeHub", map[string]string{"hub": old}, nil)
		if gone, ok := errors.AsType[*v1.Error](err); ok && gone.Code == v1.NotBound {
			err = nil
		}
		if err == nil {
			err = h.store.ForgetReplaced()
		}
	}
	if err != nil {
		h.o.Log.Warn("replaced hub not removed", "hub", old, "err", err)
	}
}

// removeReplacedHere is removeReplaced after a sign-in without a session, where the account service is in this process.
// Elsewhere the old hub stays listed, and status shows it, until its owner removes it or signs in with the password.
func (h *Hub) removeReplacedHere() {
	old, err := h.store.Replaced()
	if err != nil || old == "" || h.o.Service == nil {
		return
	}
	a, err := h.store.Account()
	if err == nil {
		var removed bool
		if removed, err = removeHub(h.o.Service.store, a, old); removed && err == nil {
			err = h.store.ForgetReplaced()
		}
	}
	if err != nil {
		h.o.Log.Warn("replaced hub not removed", "hub", old, "err", err)
	}
}

// expose records that somebody else may know the passwords up to now: before the next one is in the vault, so that no
// device is moved before its owner was asked.
func (h *Hub) expose() error {
	a, err := h.store.Account()
	if errors.Is(err, home.ErrNoAccount) {
		return nil
	}
	if err != nil {
		return err
	}
	next, err := a.Epoch.Next()
	if err != nil {
		return err
	}
	return h.store.Expose(a.ID, next)
}

// enrol enrols the hub with a pairing word. password is zero for a word from the account's page: the service then sends
// the newest credential in a grant, where it has it.
func (h *Hub) enrol(ctx context.Context, p pairing.Pairing, email string, password home.Secret) error {
	if err := h.link.Enrol(ctx, p, email, password); err != nil {
		return err
	}
	h.engine.AccountChanged()
	if password.IsZero() {
		return nil
	}
	return h.engine.Rekey(nil, false) // devices that waited for the password
}

// linkStore hides an account at the vendor's cloud from the link.
type linkStore struct{ *localstore.Store }

func (s linkStore) Account() (home.Account, error) {
	a, err := s.Store.Account()
	if err == nil && a.Provider == home.TPLink {
		return home.Account{}, home.ErrNoAccount
	}
	return a, err
}

// linkState returns the state of the connection to the account's provider.
func (h *Hub) linkState() (up bool, reason string) {
	if acct, err := h.store.Account(); err == nil && acct.Provider == home.TPLink {
		return h.vendor.State()
	}
	return h.link.State()
}
