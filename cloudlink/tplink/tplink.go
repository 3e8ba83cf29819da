// Package tplink is TP-Link's own cloud as a provider: it signs in with the owner's password, lists the account's
// devices, and notices that the password was changed. Facts and their sources:
// cloudlink/account/FACTS.md, section 2.2. Nothing of it was ever tried against the vendor.
//
// Such a cloud sends no grants to a hub: the owner types a new password once, and from there it is as with any account.
// A sign-in that was refused is repeated only after the owner has typed a password, because refusals can lock the
// account.
package tplink

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// DefaultURL is where clients of the vendor's cloud begin.
const DefaultURL = "https://wap.tplinkcloud.com"

// appType is the app under whose name the hub signs in.
const appType = "Kasa_Android"

// Store keeps the account and its session.
type Store interface {
	Account() (home.Account, error)
	Terminal() (string, error) // a stable random name: the cloud keeps its limits by it
	// EnrolCloud keeps a password that the cloud has taken, and returns its epoch and how many bindings are stale.
	EnrolCloud(home.Account, home.Credential, home.CloudSession) (home.Epoch, int, error)
	CloudSession(home.AccountID) (home.CloudSession, error)
	SaveCloudSession(home.AccountID, home.CloudSession) error
	Record(home.Event) error
}

// Options are the options of New.
type Options struct {
	Store Store
	Log   *slog.Logger
	Every time.Duration // how often the account's devices are listed; 30 min when zero
}

// Cloud is the vendor's cloud. It is safe for use by several goroutines.
type Cloud struct {
	o     Options
	news  chan struct{} // the owner has signed in
	doubt chan struct{} // see Check

	refused bool // Run's: the cloud refused the token once

	keeping sync.Mutex // held while a session is written: the end of an older one takes no newer one with it

	mu      sync.Mutex // guards the fields below
	listed  []home.Listed
	known   bool   // listed is the cloud's last answer
	trouble string // why there is no newer one; empty when there is
	pending second
}

// second is a sign-in that waits for the code that was sent.
type second struct {
	email, process, url string
	password            home.Secret // that the cloud took
	until               time.Time
}

// codeTime is for how long a code is waited for.
const codeTime = 10 * time.Minute

// New checks o.
func New(o Options) (*Cloud, error) {
	if o.Store == nil || o.Log == nil || o.Every < 0 {
		return nil, errors.New("tplink: store and log are needed, and times are not negative")
	}
	o.Every = cmp.Or(o.Every, 30*time.Minute)
	return &Cloud{o: o, news: make(chan struct{}, 1), doubt: make(chan struct{}, 1)}, nil
}

// Login has the inputs of an owner.
type Login struct {
	URL      string // DefaultURL when empty
	Email    string
	Password home.Secret
	Code     string // that the cloud has sent by e-mail, where it has
}

// Login signs in and has the hub follow the account. It returns the account's epoch; home.ErrCode where the cloud has
// sent a code by e-mail with which to sign in again within ten minutes; home.ErrCredential; home.ErrUnavailable; and
// *v1.Error of any other refusal of the cloud.
func (c *Cloud) Login(ctx context.Context, in Login) (home.Epoch, error) {
	if in.Email == "" || in.Password.IsZero() {
		return 0, &home.Error{Op: "sign in", Err: errors.New("an e-mail address and a password are needed")}
	}
	base := cmp.Or(in.URL, DefaultURL)
	if !confidential(base) {
		return 0, &home.Error{
			Op: "sign in", Err: errors.New("the cloud's address is no https URL"),
			Hint: "give --account-url an address that begins with https:// (http:// does for this machine alone)",
		}
	}
	terminal, err := c.o.Store.Terminal()
	if err != nil {
		return 0, err
	}
	p := c.waiting(in)
	if p.url != "" {
		base = p.url
	} else if base, err = region(ctx, base, in.Email); err != nil {
		return 0, ownerError("sign in", err)
	}
	if p.process != "" {
		in.Password = p.password // what is typed with the code the cloud does not check
	}
	method, params := "login", map[string]any{
		"appType": appType, "cloudUserName": in.Email, "cloudPassword": in.Password.Reveal(), "terminalUUID": terminal,
		"refreshTokenNeeded": true,
	}
	if p.process != "" {
		method = "checkMFACodeAndLogin" // a guess: known of the newer interface only
		params["code"], params["MFAProcessId"], params["MFAType"] = in.Code, p.process, mailed
		params["terminalBindEnabled"] = true
	}
	var got struct {
		Token   string `json:"token"`
		Refresh string `json:"refreshToken"`
		Email   string `json:"email"`
	}
	base, err = call(ctx, base, home.Secret{}, method, params, &got)
	if e, ok := errors.AsType[*v1.Error](err); ok && e.Code == v1.SecondFactor && p.process == "" {
		return 0, c.askCode(ctx, base, in, terminal, e)
	}
	if err != nil {
		return 0, ownerError("sign in", err)
	}
	if got.Token == "" {
		return 0, fmt.Errorf("sign in: the cloud gave no token: %w", home.ErrUnavailable)
	}
	a := home.Account{
		ID: accountID(in.Email), Provider: home.TPLink, Email: cmp.Or(spelled(got.Email, in.Email), in.Email),
		URL: cmp.Or(in.URL, DefaultURL),
	}
	c.keeping.Lock()
	epoch, stale, err := c.o.Store.EnrolCloud(a, home.Credential{Username: a.Email, Password: in.Password},
		home.CloudSession{URL: base, Token: home.NewSecret(got.Token), Refresh: home.NewSecret(got.Refresh)})
	c.keeping.Unlock()
	if err != nil {
		return 0, err
	}
	c.o.Log.Info("signed in to the vendor's cloud", "account", a.ID, "epoch", epoch, "stale", stale)
	c.mu.Lock()
	c.pending, c.trouble = second{}, ""
	c.mu.Unlock()
	select {
	case c.news <- struct{}{}:
	default:
	}
	return epoch, nil
}

// spelled is the address as the account has it, where that is the one that was typed: devices hash it in its letter
// case.
func spelled(registered, typed string) string {
	if strings.EqualFold(registered, typed) {
		return registered
	}
	return ""
}

// accountID names the account. The address is not to be read out of it.
func accountID(email string) home.AccountID {
	sum := sha256.Sum256([]byte("tplink " + strings.ToLower(email)))
	return home.AccountID("tplink-" + hex.EncodeToString(sum[:8]))
}

// mailed is the kind of second factor that comes by e-mail.
const mailed = 2

// waiting returns the sign-in that the code which was given belongs to, if any.
func (c *Cloud) waiting(in Login) second {
	c.mu.Lock()
	defer c.mu.Unlock()
	if in.Code == "" || c.pending.email != in.Email || time.Now().After(c.pending.until) {
		return second{}
	}
	p := c.pending
	c.pending = second{} // a code is tried once: the cloud locks codes, too
	return p
}

// askCode has the cloud send a code by e-mail.
func (c *Cloud) askCode(ctx context.Context, base string, in Login, terminal string, e *v1.Error) error {
	if in.Code != "" {
		return &home.Error{
			Op: "sign in", Err: errors.New("the code is too late, or was tried already"),
			Hint: "sign in again without a code; a new one is sent",
		}
	}
	var of struct {
		Process string `json:"MFAProcessId"`
		Types   []int  `json:"supportedMFATypes"`
	}
	if json.Unmarshal(e.Result, &of) != nil || of.Process == "" {
		return ownerError("sign in", e)
	}
	params := map[string]any{
		"appType": appType, "cloudUserName": in.Email, "cloudPassword": in.Password.Reveal(), "terminalUUID": terminal,
	}
	base, err := call(ctx, base, home.Secret{}, "getEmailVC4TerminalMFA", params, nil) // a guess, as above
	if err != nil {
		return ownerError("ask for the code", err)
	}
	c.mu.Lock()
	c.pending = second{in.Email, of.Process, base, in.Password, time.Now().Add(codeTime)}
	c.mu.Unlock()
	return &home.Error{
		Op: "sign in", Err: home.ErrCode,
		Hint: "read your mail, and sign in again within ten minutes: the code is asked for, or read with --code-stdin",
	}
}
