// Package api is the account service's JSON API, as the vendor's clients speak it.
//
//	POST /?token=… with {"method","params"}, answered by {"error_code":0,"result":{…}} or {"error_code":-20601,"msg":"…"}
//
// Methods of the vendor: login, refreshToken, getDeviceList, getResetPasswordEmail, modifyCloudPassword,
// getAccountStatusAndUrl, helloCloud, heartBeat, bindDevice, unbindDevice, passthrough. The answer to
// getAccountStatusAndUrl is the same for every address.
//
// login sets the cookie rekeyd_terminal, bound to terminalUUID: with both, an app signs in while strangers lock the
// account. modifyCloudPassword takes a token, too: with it, a locked account changes its password. Its exposed?: bool
// states that somebody else may know the old password; without it, as from the vendor's apps, it is unknown to others.
//
// Methods of our own, where none of the vendor's is known ("token": it is in the query):
//
//	register       {email, password, appType?}                 {}          -20200, -20615, EmailTaken
//	activate       {token}                                     {}          -20673
//	getResetPasswordEmail also takes door: kasa, tpcamera or web; else appType names it
//	resetInfo      {token}                                     {email, door, hubs[]}    -20673, -20674; uses nothing up
//	resetPassword  {token, newPassword, leaveOut?: [hub], exposed?: bool}
//	                                                           {epoch, hubs, devices}   -20673, -20674, -20615
//	createPairing  {password?}                       (token)   {pairing}   the word that enrols a hub; -20651 without
//	                                                                       the password, 5 minutes after the login
//	listHubs       {}                                (token)   {hubs: [{hub, name, version, since, epoch, devices,
//	                                                           online}]}
//	removeHub      {hub}                             (token)   {}          -20580
//	getHistory     {}                                (token)   {events: [{at, what, door, epoch, detail}]}, the
//	                                                           newest first
//	logoutAll      {}                                (token)   {}
package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/language"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
)

// Relay passes requests on to devices.
type Relay interface {
	// Pass returns a device's answer. Its errors are *v1.Error.
	Pass(ctx context.Context, account, device string, request []byte) ([]byte, error)
}

// Options are what New needs.
type Options struct {
	Service *account.Service
	Relay   Relay
	Log     *slog.Logger
}

// API answers the JSON API.
type API struct{ o Options }

// New returns the API.
func New(o Options) *API { return &API{o} }

// Handler answers at POST /.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", a.serve)
	return http.NewCrossOriginProtection().Handler(mux)
}

// OperatorHandler answers at POST / too, with the few methods that set up and recover an account. It is for the
// daemon's own socket: the answers to register and getResetPasswordEmail have the code of the mail.
func (a *API) OperatorHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.answer(w, r, (*call).doOperator) })
}

// maxBody is the longest request that is read.
const maxBody = 64 << 10

// call is one call of the API.
type call struct {
	s      *account.Service
	relay  Relay
	w      http.ResponseWriter // for cookies only
	r      *http.Request
	ctx    context.Context // of the request: it lives no longer
	params json.RawMessage
	token  string
	from   string // network address, as limits count it
	lang   string // that the client accepts, a tag of package language
}

// result is the member of the same name in an answer, as the vendor's clients read it.
type result map[string]any

func (a *API) serve(w http.ResponseWriter, r *http.Request) { a.answer(w, r, (*call).do) }

// answer reads a call, has do carry it out, and writes the answer.
func (a *API) answer(w http.ResponseWriter, r *http.Request, do func(*call, string) (result, error)) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		reply(w, nil, account.Refused(v1.BadJSON, "Request too large or cut short"))
		return
	}
	var req struct {
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if !utf8.Valid(raw) || json.Unmarshal(raw, &req) != nil {
		reply(w, nil, account.Refused(v1.BadJSON, "JSON format error"))
		return
	}
	c := &call{
		s: a.o.Service, relay: a.o.Relay, w: w, r: r, ctx: r.Context(), params: req.Params, token: r.URL.Query().Get("token"),
		from: account.Network(r.RemoteAddr), lang: language.Accepted(r.Header.Get("Accept-Language")).Tag,
	}
	res, err := do(c, req.Method)
	if _, ok := errors.AsType[*v1.Error](err); err != nil && !ok && !errors.Is(err, context.Canceled) {
		a.o.Log.Error("call failed", "method", req.Method, "err", err)
	}
	reply(w, res, err)
}

// reply writes the envelope. An internal error is "busy": the text reveals nothing of it.
func reply(w http.ResponseWriter, res result, err error) {
	out := map[string]any{"error_code": 0}
	if err != nil {
		e, ok := errors.AsType[*v1.Error](err)
		if !ok {
			e = &v1.Error{Code: -20003, Message: "Busy, try again"}
		}
		out["error_code"], out["msg"] = e.Code, e.Message
	} else {
		if res == nil {
			res = result{}
		}
		out["result"] = res
	}
	raw, _ := json.Marshal(out) // cannot fail: strings, numbers and lists of them
	_, _ = w.Write(raw)
}

// do runs one method. Methods that need a session are all in owner.
func (c *call) do(method string) (result, error) {
	switch method {
	case "login":
		return c.login()
	case "refreshToken":
		return c.refreshToken()
	case "register":
		return c.register()
	case "activate":
		return c.activate()
	case "getResetPasswordEmail":
		return c.forgot()
	case "resetInfo":
		return c.resetInfo()
	case "resetPassword":
		return c.resetPassword()
	case "modifyCloudPassword":
		return c.modifyPassword()
	case "getAccountStatusAndUrl":
		return c.status()
	case "helloCloud", "heartBeat":
		return nil, nil
	case "bindDevice":
		return c.bindDevice()
	case "getDeviceList", "passthrough", "unbindDevice",
		"createPairing", "listHubs", "removeHub", "getHistory", "logoutAll":
		return c.owner(method)
	}
	return nil, account.Refused(v1.InvalidInput, "Unknown method")
}

// read reads the parameters into p; names are the required ones.
func (c *call) read(p any, names ...string) error {
	var all map[string]json.RawMessage
	if len(c.params) > 0 && json.Unmarshal(c.params, &all) != nil {
		return account.Refused(v1.BadJSON, "JSON format error")
	}
	for _, n := range names {
		if v, ok := all[n]; !ok || string(v) == "null" {
			return account.Refused(v1.MissingParameter, "Parameter missing: "+n)
		}
	}
	// Names are exact, as the vendor's are; encoding/json takes them in any letter case.
	for k := range all {
		if known := parameter(k); known != "" && known != k {
			delete(all, k)
		}
	}
	exact, err := json.Marshal(all)
	if err != nil || len(all) > 0 && json.Unmarshal(exact, p) != nil {
		return account.Refused(v1.InvalidInput, "A parameter is of the wrong type")
	}
	return nil
}

// parameter returns the exact spelling of a parameter in any letter case; empty for an unknown one.
func parameter(name string) string {
	for _, p := range [...]string{
		"appType", "cloudUserName", "cloudPassword", "terminalUUID", "refreshTokenNeeded", "refreshToken", "email",
		"password", "door", "token",
		"newPassword", "leaveOut", "oldCloudPassword", "newCloudPassword", "deviceId", "requestData", "hub", "exposed",
	} {
		if strings.EqualFold(p, name) {
			return p
		}
	}
	return ""
}
