package sim

import (
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Codes of a camera's web interface: devices/PROTOCOLS.md, sections 12.1 and 12.3.
const (
	ncDone          = 0
	ncNoSession     = 902
	ncNoUser        = 1000
	ncWrongPassword = 1011
	ncCloudAway     = 1080
	ncCloudRefuses  = 1081
	ncBoundAlready  = 1083
	ncNotBound      = 1088
)

func (d *ncCamera) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil || r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, ".fcgi") {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	d.spec.opened.add(raw)
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	answer := map[string]any{"errorCode": ncNoSession}
	switch cookie, _ := r.Cookie("sess"); {
	case r.URL.Path == "/login.fcgi":
		answer = d.login(w, form)
	case cookie == nil || !d.knows(cookie.Value) || !d.knows(form.Get("token")):
	default:
		answer = d.run(r.Context(), strings.TrimPrefix(r.URL.Path, "/"), form)
	}
	out := encode(answer)
	if d.spec.has(Garbled) {
		out = out[:len(out)/2]
	}
	_, _ = w.Write(out)
}

// login begins a session, and ends the one before.
func (d *ncCamera) login(w http.ResponseWriter, form url.Values) map[string]any {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case form.Get("Username") == "":
		return map[string]any{"errorCode": ncNoUser}
	case form.Get("Username") != "admin" || form.Get("Password") != d.sent():
		d.wrong++
		return map[string]any{"errorCode": ncWrongPassword}
	}
	d.token = hex.EncodeToString(randomBytes(16))
	http.SetCookie(w, &http.Cookie{Name: "sess", Value: d.token})
	return map[string]any{"errorCode": ncDone, "isAdmin": 1, "token": d.token}
}

func (d *ncCamera) knows(token string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return token != "" && token == d.token
}

// run answers one who is signed in.
func (d *ncCamera) run(ctx context.Context, path string, form url.Values) map[string]any {
	d.spec.opened.ran(strings.TrimSpace(path + " " + form.Get("command")))
	switch path {
	case "netconf_get.fcgi":
		mac := strings.ToUpper(d.spec.stated(d.mac).String())
		return map[string]any{
			"errorCode": ncDone, "MacAddress": mac, "CurIP": d.spec.Addr.String(),
		}
	case "getsysinfo.fcgi":
		return map[string]any{"errorCode": ncDone, "cameraName": d.spec.Name, "model": d.spec.Model, "frmVer": "1.3.2"}
	case "get_cloud.fcgi":
		status := d.trySignIn(ctx)
		username, _ := d.holds()
		bound := 0
		if username != "" {
			bound = 1
		}
		return map[string]any{
			"errorCode": ncDone, "status": status, "binded": bound, "username": username, "cameraname": d.spec.Name,
		}
	case "cloud.fcgi":
		return map[string]any{"errorCode": d.command(ctx, form)}
	}
	return map[string]any{"errorCode": ncNoSession}
}

// command runs a command of the cloud module, and returns its code.
func (d *ncCamera) command(ctx context.Context, form url.Values) int {
	username, password := form.Get("username"), home.NewSecret(form.Get("password"))
	bound, _ := d.holds()
	switch form.Get("command") {
	case "unbind":
		if bound == "" {
			return ncNotBound
		}
		d.hold("", home.Secret{})
		return ncDone
	case "bind":
		if bound != "" && d.spec.has(Clinging) {
			return ncBoundAlready
		}
		switch d.signIn(ctx, username, password) {
		case ncRefused:
			return ncCloudRefuses
		case ncOffline:
			return ncCloudAway
		}
		if !d.spec.has(Forgetful) {
			d.hold(username, password)
		}
		return ncDone
	}
	return ncNoSession
}
