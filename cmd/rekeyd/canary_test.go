package main

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// forms are the shapes in which a secret could lie around: as it is, encoded, or as one of the hashes that are as good
// as a password to a device.
func forms(secret string) map[string][]byte {
	m, s1, s2 := md5.Sum([]byte(secret)), sha1.Sum([]byte(secret)), sha256.Sum256([]byte(secret))
	quoted, _ := json.Marshal(secret)
	all := map[string][]byte{
		"as it is": []byte(secret), "escaped": []byte(url.QueryEscape(secret)), "in JSON": bytes.Trim(quoted, `"`),
	}
	for name, raw := range map[string][]byte{"": []byte(secret), " (MD5)": m[:], " (SHA-1)": s1[:], " (SHA-256)": s2[:]} {
		all["in hex"+name] = []byte(hex.EncodeToString(raw))
		all["in HEX"+name] = bytes.ToUpper(all["in hex"+name])
		all["in base64"+name] = []byte(strings.TrimRight(base64.StdEncoding.EncodeToString(raw), "="))
		all["in base64 for URLs"+name] = []byte(base64.RawURLEncoding.EncodeToString(raw))
		if name != "" {
			all["raw"+name] = raw
		}
	}
	return all
}

// search returns where which secret was found.
func search(secrets map[string]string, places map[string][]byte) (found []string) {
	for what, secret := range secrets {
		for form, shape := range forms(secret) {
			if strings.Contains(form, "SHA-256") && strings.Contains(what, "token") {
				continue // all that is kept of a token, which is random, is that hash
			}
			for place, raw := range places {
				if bytes.Contains(raw, shape) {
					found = append(found, what+" in "+place+", "+form)
				}
			}
		}
	}
	return found
}

// passthrough sends a request to a device as an app does. A hub that was paired again is offline until it has connected
// anew.
func (r *rig) passthrough(token, id, request string) {
	r.t.Helper()
	params := map[string]string{"deviceId": id, "requestData": request}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := r.client.Call(r.t.Context(), home.NewSecret(token), "passthrough", params, nil)
		e, refused := errors.AsType[*v1.Error](err)
		if err == nil {
			return
		}
		if !refused || e.Code != v1.DeviceOffline || time.Now().After(end) {
			r.t.Fatalf("passthrough: %v", err)
		}
	}
}

// TestNoSecretLiesAroundInAHouse is the canary test of the whole program: the real binary with everything logged, an
// account with all that can be done to it, a house that is bound and rekeyed. Then every file, log and answer is
// searched for what was secret.
func TestNoSecretLiesAroundInAHouse(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	const first, second, third = "first-Canary-Battery", "second-Canary-Battery", "third-Canary-Battery"
	const request = "sent-to-a-lamp-Canary"
	r := newRig(t, "plug:iot=2,camera:native=1")
	spool := t.TempDir()
	r.args = append(r.args, "--mail-dir", spool, "--policy", loose(t), "--verbose")
	r.start()
	r.await("daemon", time.Minute, answers)
	places := map[string][]byte{}
	command := func(stdin string, args ...string) {
		t.Helper()
		out, err := r.rekeyd(stdin, args...)
		if err != nil {
			t.Fatalf("%v: %s", args, out)
		}
		places["what rekeyd "+args[0]+" printed"] = append(places["what rekeyd "+args[0]+" printed"], out...)
	}
	secrets := map[string]string{
		"the first password":         first,
		"the second password":        second,
		"the third password":         third,
		"what an app sent to a lamp": request,
	}
	mails := map[string]bool{}
	link := func(path string) string {
		t.Helper()
		l, token := mailed(t, spool, path, mails)
		secrets["the token of a link to "+path] = token
		return l
	}
	call := func(token, method string, params, result any) {
		t.Helper()
		if err := r.client.Call(t.Context(), home.NewSecret(token), method, params, result); err != nil {
			log := r.log.String()
			t.Fatalf("%s: %v; log:\n%s", method, err, log[max(0, len(log)-8000):])
		}
	}
	command(first, "register", rigEmail, "--password-stdin")
	command(link("/activate"), "activate", "--stdin")
	command(first, "login", rigEmail, "--password-stdin")
	r.awaitFound()
	r.bind()
	r.await("house bound", time.Minute, allCurrent(3, 1))
	login := func(password string) (token string) {
		var in struct{ Token, RefreshToken string }
		call("", "login", map[string]any{
			"appType": "Kasa_Android", "cloudUserName": rigEmail, "cloudPassword": password, "terminalUUID": "t",
			"refreshTokenNeeded": true,
		}, &in)
		secrets["a token of "+password[:5]], secrets["a refresh token of "+password[:5]] = in.Token, in.RefreshToken
		return in.Token
	}
	token := login(first)
	var word struct{ Pairing string }
	call(token, "createPairing", struct{}{}, &word)
	secrets["a word for a hub"] = word.Pairing
	command(word.Pairing, "login", "--pair", "--password-stdin")
	var list struct {
		DeviceList []struct{ Alias, DeviceID string }
	}
	call(token, "getDeviceList", struct{}{}, &list)
	for _, d := range list.DeviceList {
		for _, alias := range []string{request, "lamp"} {
			if d.Alias == "plug-1" {
				r.passthrough(token, d.DeviceID, `{"system":{"set_dev_alias":{"alias":"`+alias+`"}}}`)
			}
		}
	}
	command("", "forgot", rigEmail)
	command(link("/reset")+"\n"+second, "reset", "--stdin")
	r.await("house rekeyed", time.Minute, allCurrent(3, 2))
	login(second)
	ok(t, r.change(second, third))
	r.await("house rekeyed again", time.Minute, allCurrent(3, 3))
	link("/notme")
	command("", "status", "--json")
	command("", "devices", "--json")
	command("", "history", "--json")
	const page, site = "http://" + defaultPage, "http://" + defaultAccount
	for _, u := range []string{page + "/", page + "/v1/status", site + "/", site + "/forgot"} {
		resp, err := http.Get(u)
		ok(t, err)
		places[u], err = io.ReadAll(resp.Body)
		ok(t, err)
		resp.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	for _, file := range []string{"cmdline", "environ"} {
		raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(r.cmd.Process.Pid), file))
		ok(t, err)
		places["the process's "+file] = raw
	}
	r.kill()
	places["the log"] = []byte(r.log.String())
	ok(t, filepath.WalkDir(r.state, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		places[path], err = os.ReadFile(path)
		return err
	}))
	if len(places["the log"]) < 5000 || len(places) < 16 || len(secrets) < 12 {
		t.Fatalf(
			"too little was looked at: %d places, %d secrets, a log of %d bytes",
			len(places),
			len(secrets),
			len(places["the log"]),
		)
	}
	for _, f := range search(secrets, places) {
		t.Error("found " + f)
	}
	// A mail holds the token of its own link, and nothing else.
	letters := map[string][]byte{}
	all, err := filepath.Glob(filepath.Join(spool, "*.eml"))
	ok(t, err)
	for _, path := range all {
		letters[path], err = os.ReadFile(path)
		ok(t, err)
	}
	rest := map[string]string{}
	for what, s := range secrets {
		if !strings.HasPrefix(what, "the token of a link") {
			rest[what] = s
		}
	}
	for _, f := range search(rest, letters) {
		t.Error("found " + f)
	}
	// The search finds what is there.
	planted := sha256.Sum256([]byte(third))
	if f := search(secrets, map[string][]byte{"a planted file": append([]byte("x"), planted[:]...)}); len(f) != 1 {
		t.Errorf("of one planted canary the search found %q", f)
	}
}
