package account

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rekeyd/rekeyd/cloudlink/account/language"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
)

// The JSON API: POST /?token=… with {"method","params"}, answered by {"error_code":0,"result":{…}} or {"error_code":-20601,"msg":"…"}.
//
// As the vendor's clients speak it: login, refreshToken, getDeviceList, getResetPasswordEmail, modifyCloudPassword,
// getAccountStatusAndUrl, helloCloud, heartBeat, bindDevice, unbindDevice, passthrough. The answer to getAccountStatusAndUrl is the same for every address.
//
// Names of our own, where none of the vendor's is known (token in the query where it says so):
//
//	register       {email, password, appType?}                 {}          -20200, -20615, EmailTaken
//	activate       {token}                                     {}          -20673
//	getResetPasswordEmail also takes door: kasa, tpcamera or web; else appType tells it
//	resetInfo      {token}                                     {email, door, hubs[]}    -20673, -20674; uses nothing up
//	resetPassword  {token, newPassword, leaveOut?: [hub]}      {epoch, hubs, devices}   -20673, -20674, -20615
//	createPairing  {}                                (token)   {pairing}   the word that enrols a hub
//	listHubs       {}                                (token)   {hubs: [{hub, name, version, since, epoch, devices, online}]}
//	removeHub      {hub}                             (token)   {}          -20580
//	getHistory     {}                                (token)   {events: [{at, what, door, epoch, detail}]}, newest first
//	logoutAll      {}                                (token)   {}

// Codes of our own, beside the vendor's.
const (
	EmailTaken   v1.Code = -20690 // the address has an account; only where accounts need no activation
	NotActivated v1.Code = -20691 // the password is right, the account is not activated yet
)

// maxBody is the longest request that is read.
const maxBody = 64 << 10

// call is one call of the API.
type call struct {
	s      *Service
	ctx    context.Context // of the request: it lives no longer
	params json.RawMessage
	token  string
	from   string // network address, as limits count it
	lang   string // that the client accepts, a tag of package language
}

type result map[string]any

// Handler answers the JSON API, at POST /.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", s.api)
	return http.NewCrossOriginProtection().Handler(mux)
}

func (s *Service) api(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		answer(w, nil, refused(v1.BadJSON, "Request too large or cut short"))
		return
	}
	var req struct {
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if !utf8.Valid(raw) || json.Unmarshal(raw, &req) != nil {
		answer(w, nil, refused(v1.BadJSON, "JSON format error"))
		return
	}
	c := &call{s: s, ctx: r.Context(), params: req.Params, token: r.URL.Query().Get("token"), from: network(r.RemoteAddr), lang: language.Accepted(r.Header.Get("Accept-Language")).Tag}
	res, err := c.do(req.Method)
	if _, ok := errors.AsType[*v1.Error](err); err != nil && !ok && !errors.Is(err, context.Canceled) {
		s.o.Log.Error("call failed", "method", req.Method, "err", err)
	}
	answer(w, res, err)
}

// answer writes the envelope. An error that is nobody's fault outside is "busy": it says nothing of what is in here.
func answer(w http.ResponseWriter, res result, err error) {
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
	case "getDeviceList", "passthrough", "unbindDevice", "createPairing", "listHubs", "removeHub", "getHistory", "logoutAll":
		return c.owner(method)
	}
	return nil, refused(v1.InvalidInput, "Unknown method")
}

// read reads the parameters into p; names says which have to be there.
func (c *call) read(p any, names ...string) error {
	var all map[string]json.RawMessage
	if len(c.params) > 0 && json.Unmarshal(c.params, &all) != nil {
		return refused(v1.BadJSON, "JSON format error")
	}
	for _, n := range names {
		if v, ok := all[n]; !ok || string(v) == "null" {
			return refused(v1.MissingParameter, "Parameter missing: "+n)
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
		return refused(v1.InvalidInput, "A parameter is of the wrong type")
	}
	return nil
}

// parameter returns how a parameter is spelled, whatever its letter case; empty for one that is none of ours.
func parameter(name string) string {
	for _, p := range [...]string{
		"appType", "cloudUserName", "cloudPassword", "terminalUUID", "refreshTokenNeeded", "refreshToken", "email", "password", "door", "token",
		"newPassword", "leaveOut", "oldCloudPassword", "newCloudPassword", "deviceId", "requestData", "hub",
	} {
		if strings.EqualFold(p, name) {
			return p
		}
	}
	return ""
}

func (c *call) login() (result, error) {
	var p struct {
		AppType, CloudUserName, CloudPassword, TerminalUUID string
		RefreshTokenNeeded                                  bool
	}
	if err := c.read(&p, "appType", "cloudUserName", "cloudPassword", "terminalUUID"); err != nil {
		return nil, err
	}
	if len(p.TerminalUUID) > 128 {
		return nil, refused(v1.InvalidInput, "terminalUUID is too long")
	}
	a, err := c.s.authenticate(c.ctx, p.CloudUserName, p.CloudPassword, visitor{from: c.from})
	if err != nil {
		return nil, err
	}
	token, refresh, err := c.s.enter(a, doorOf(p.AppType), p.TerminalUUID, p.RefreshTokenNeeded)
	if err != nil {
		return nil, err
	}
	res := result{
		"accountId": a.ID, "regTime": time.UnixMilli(a.At).UTC().Format(time.DateTime), "countryCode": "", "riskDetected": 0,
		"nickname": "", "email": a.Email, "token": token,
	}
	if refresh != "" {
		res["refreshToken"] = refresh
	}
	return res, nil
}

func (c *call) refreshToken() (result, error) {
	var p struct{ AppType, TerminalUUID, RefreshToken string }
	if err := c.read(&p, "appType", "terminalUUID", "refreshToken"); err != nil {
		return nil, err
	}
	token, err := c.s.renew(p.RefreshToken, p.TerminalUUID)
	if errors.Is(err, errSession) {
		return nil, refused(v1.RefreshExpired, "Refresh token expired")
	}
	return result{"token": token}, err
}

func (c *call) register() (result, error) {
	var p struct{ Email, Password, AppType string }
	if err := c.read(&p, "email", "password"); err != nil {
		return nil, err
	}
	return nil, c.s.register(c.ctx, p.Email, p.Password, doorOf(p.AppType), c.lang)
}

func (c *call) activate() (result, error) {
	var p struct{ Token string }
	if err := c.read(&p, "token"); err != nil {
		return nil, err
	}
	return nil, c.s.activate(p.Token)
}

func (c *call) forgot() (result, error) {
	var p struct{ Email, AppType, Door string }
	if err := c.read(&p, "email"); err != nil {
		return nil, err
	}
	if p.Door == "" {
		p.Door = doorOf(p.AppType)
	}
	switch {
	case !isDoor(p.Door):
		return nil, refused(v1.InvalidInput, "door: want kasa, tpcamera or web")
	case !validEmail(p.Email):
		return nil, refused(v1.InvalidEmail, "Invalid email")
	}
	c.s.forgot(c.ctx, forgotten{p.Email, p.Door, c.from, c.lang})
	return nil, nil
}

func (c *call) resetInfo() (result, error) {
	var p struct{ Token string }
	if err := c.read(&p, "token"); err != nil {
		return nil, err
	}
	l, a, err := c.s.linkOf(p.Token, "reset")
	if err != nil {
		return nil, err
	}
	return result{"email": a.Email, "door": l.Door, "hubs": c.s.hubs(a.ID)}, nil
}

func (c *call) resetPassword() (result, error) {
	var p struct {
		Token, NewPassword string
		LeaveOut           []string
	}
	if err := c.read(&p, "token", "newPassword"); err != nil {
		return nil, err
	}
	a, err := c.s.reset(c.ctx, p.Token, p.NewPassword, p.LeaveOut)
	if err != nil {
		return nil, err
	}
	return result{"epoch": a.Epoch, "hubs": len(c.s.hubs(a.ID)), "devices": len(c.s.dir.devicesOf(a.ID))}, nil
}

func (c *call) modifyPassword() (result, error) {
	var p struct{ CloudUserName, OldCloudPassword, NewCloudPassword, AppType string }
	if err := c.read(&p, "cloudUserName", "oldCloudPassword", "newCloudPassword"); err != nil {
		return nil, err
	}
	_, err := c.s.changePassword(c.ctx, p.CloudUserName, p.OldCloudPassword, p.NewCloudPassword, doorOf(p.AppType), c.from)
	return nil, err
}

func (c *call) status() (result, error) {
	var p struct{ AppType, CloudUserName string }
	if err := c.read(&p, "appType", "cloudUserName"); err != nil {
		return nil, err
	}
	return result{"accountStatus": 1, "appServerUrl": c.s.base}, nil
}

// bindDevice is how a device of the vendor's signs itself in: it shows what it was given. That it belongs to a house is a
// hub's to tell.
func (c *call) bindDevice() (result, error) {
	var p struct{ DeviceID, CloudUserName, CloudPassword string }
	if err := c.read(&p, "deviceId", "cloudUserName", "cloudPassword"); err != nil {
		return nil, err
	}
	a, err := c.s.authenticate(c.ctx, p.CloudUserName, p.CloudPassword, visitor{from: c.from, device: true})
	if err != nil {
		return nil, err
	}
	if owner, ok := c.s.ownerOf(p.DeviceID); ok && owner != a.ID {
		return nil, refused(v1.BoundElsewhere, "The device is bound to another account")
	}
	return result{"accountId": a.ID}, nil
}
