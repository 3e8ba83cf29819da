package account_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
)

// calls are calls that are well-formed and refused all the same, or change nothing: each of their fields is spoilt in
// turn.
var calls = []struct {
	method   string
	token    bool
	required p
	optional p
}{
	{
		"login", false,
		p{"appType": "Kasa_Android", "cloudUserName": email, "cloudPassword": "wrong-Horse-Battery", "terminalUUID": "t"},
		p{"refreshTokenNeeded": true},
	},
	{"refreshToken", false, p{"appType": "Kasa_Android", "terminalUUID": "t", "refreshToken": "none"}, nil},
	{"register", false, p{"email": "no address", "password": "short"}, p{"appType": "x"}},
	{"activate", false, p{"token": "none"}, nil},
	{"getResetPasswordEmail", false, p{"email": "absent@example.org"}, p{"door": "kasa", "appType": "x"}},
	{"resetInfo", false, p{"token": "none"}, nil},
	{"resetPassword", false, p{"token": "none", "newPassword": second}, p{"leaveOut": []string{"hub-x"}}},
	{
		"modifyCloudPassword", false,
		p{"cloudUserName": email, "oldCloudPassword": "wrong-Horse-Battery", "newCloudPassword": second},
		p{"appType": "x"},
	},
	{"getAccountStatusAndUrl", false, p{"appType": "x", "cloudUserName": email}, nil},
	{"bindDevice", false, p{"deviceId": "plug", "cloudUserName": email, "cloudPassword": "wrong-Horse-Battery"}, nil},
	{"unbindDevice", true, p{"deviceId": "plug"}, nil},
	{"passthrough", true, p{"deviceId": "plug", "requestData": "{}"}, nil},
	{"removeHub", true, p{"hub": "hub-x"}, nil},
}

// spoilt is what a field can hold that it should not, and what the answer is then: 0 for whatever the method answers
// for such a text.
var spoilt = []struct {
	name  string
	value string // JSON; empty for none
	code  int
}{
	{"nothing", "", -20104},
	{"null", "null", -20104},
	{"a number", "7", -20107},
	{"a fraction", "1e400", -20107},
	{"an object", `{"a":{"b":[]}}`, -20107},
	{"a list", `[[]]`, -20107},
	{"a word", "tru", -10100},
	{"a long text", `"` + strings.Repeat("canary", 2000) + `"`, 0},
	{"no text", `""`, 0},
	{"control characters", `"canary\u0000\u001b[2J\r\nBcc: x@y.z"`, 0},
	{"half a surrogate", `"canary\ud800"`, 0},
	{"letters that look like others", `"аnnа@exаmple.org"`, 0},
	{"markup", `"<script>canary</script>"`, 0},
	{"a path", `"../../etc/passwd"`, 0},
	{"a topic", `"+/#"`, 0},
	{"deep", strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), -10100},
}

func TestEveryFieldOfEveryCallCanBeSpoiltAndNothingIsWritten(t *testing.T) {
	c := open(t, func(p *account.Policy) { p.LoginFailures, p.LoginFrom, p.ForgotAnswer = 1000, 100_000, 0 })
	c.register()
	c.signIn() // so that the account's hash is one of now
	token := c.signIn()
	dump := func() map[string][]byte {
		all := c.everything()
		delete(all, "the log")
		return all
	}
	before := dump()
	ask := func(method string, withToken bool, params string) (int, string) {
		t.Helper()
		url := c.web.URL
		if withToken {
			url += "/?token=" + token
		}
		resp, err := http.Post(url, "application/json", strings.NewReader(`{"method":"`+method+`","params":`+params+`}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var e struct {
			Code *int `json:"error_code"`
			Msg  string
		}
		if err := json.Unmarshal(raw, &e); err != nil || e.Code == nil {
			t.Fatalf("%s %.100s: %q is no envelope", method, params, raw)
		}
		return *e.Code, string(raw)
	}
	asked := 0
	for _, call := range calls {
		fields := map[string]bool{}
		for f := range call.required {
			fields[f] = true
		}
		for f := range call.optional {
			fields[f] = false
		}
		for field, required := range fields {
			for _, s := range spoilt {
				params := map[string]json.RawMessage{}
				for _, all := range []p{call.required, call.optional} {
					for f, v := range all {
						params[f], _ = json.Marshal(v)
					}
				}
				delete(params, field)
				text, _ := json.Marshal(params)
				sent := string(text)
				if s.value != "" {
					sent = strings.TrimSuffix(sent, "}") + `,"` + field + `":` + s.value + "}"
					sent = strings.Replace(sent, "{,", "{", 1)
				}
				want := s.code
				if !required && want == -20104 {
					want = 0 // it may be left out
				}
				if field == "refreshTokenNeeded" || field == "leaveOut" {
					if want == 0 && s.value != "" && s.value != "null" || field == "leaveOut" && s.name == "a list" {
						want = -20107
					}
				}
				code, raw := ask(call.method, call.token, sent)
				asked++
				if want != 0 && code != want {
					t.Errorf("%s, %s is %s: %d, want %d", call.method, field, s.name, code, want)
				}
				if code == 0 && call.method != "getAccountStatusAndUrl" && call.method != "getResetPasswordEmail" {
					t.Errorf("%s, %s is %s: taken: %s", call.method, field, s.name, raw)
				}
				for _, leak := range []string{"canary", "json:", "strconv", "bbolt", "goroutine", ".go:"} {
					if strings.Contains(raw, leak) {
						t.Errorf("%s, %s is %s: the answer reveals %q: %.300s", call.method, field, s.name, leak, raw)
					}
				}
			}
			// Names are exact: a parameter in other letter case is none.
			if required {
				params, _ := json.Marshal(call.required)
				other := strings.Replace(string(params), `"`+field+`"`, `"`+strings.ToUpper(field)+`"`, 1)
				if code, _ := ask(call.method, call.token, other); code != -20104 {
					t.Errorf("%s, %s in capitals: %d, want -20104", call.method, field, code)
				}
			}
		}
		if call.token {
			params, _ := json.Marshal(call.required)
			if code, _ := ask(call.method, false, string(params)); code != -20651 {
				t.Errorf("%s without a token: %d", call.method, code)
			}
		}
	}
	for _, whole := range []string{`[]`, `"x"`, `7`, `{} {}`, `{"a":1}}`, strings.Repeat(`{"a":`, 20_000)} {
		if code, _ := ask("login", false, whole); code != -10100 {
			t.Errorf("parameters %.20s: %d, want -10100", whole, code)
		}
	}
	after := dump()
	if len(after) != len(before) {
		t.Fatalf("%d files, had %d", len(after), len(before))
	}
	for path, raw := range before {
		if !bytes.Equal(raw, after[path]) {
			t.Errorf("%s was written to", path)
		}
	}
	if asked < 500 {
		t.Errorf("only %d requests were made", asked)
	}
	http.DefaultClient.CloseIdleConnections()
}

// serve serves the API on a port of its own, as it is served to strangers.
func (c *cloud) serve() (addr string) {
	c.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.s.Serve(ctx, l, c.s.API()) }()
	stop := c.stop
	c.stop = func() { cancel(); <-done; stop() }
	return l.Addr().String()
}

// from returns a client at another loopback address.
func from(ip string) *http.Client {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	return &http.Client{
		Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: d.DialContext, MaxIdleConnsPerHost: 100},
	}
}

func TestAFloodFromOneAddressDoesNotStopAnother(t *testing.T) {
	c := open(t, func(p *account.Policy) {
		p.LoginFrom, p.LoginFailures, p.HashMemory, p.HashTime = 100_000, 1000, 8<<10, 2
	})
	c.register()
	addr := c.serve()
	// One client asks for as many sign-ins at once as it can,
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	flooder := from("127.0.0.77")
	defer flooder.CloseIdleConnections()
	done := make(chan []time.Duration, 64)
	for i := range cap(done) {
		body := fmt.Sprintf(`{"method":"login","params":{"appType":"x","cloudUserName":"someone-%d@example.org",`+
			`"cloudPassword":"p","terminalUUID":""}}`, i)
		go func() {
			var waits []time.Duration
			defer func() { done <- waits }()
			for ctx.Err() == nil {
				begun := time.Now()
				req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr, strings.NewReader(body))
				if resp, err := flooder.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					waits = append(waits, time.Since(begun))
				}
			}
		}()
	}
	// and the owner signs in.
	owner := from("127.0.0.88")
	defer owner.CloseIdleConnections()
	var mine, theirs []time.Duration
	for range 10 {
		begun := time.Now()
		resp, err := owner.Post("http://"+addr, "application/json", strings.NewReader(fmt.Sprintf(
			`{"method":"login","params":{"appType":"x","cloudUserName":%q,"cloudPassword":%q,"terminalUUID":""}}`,
			email,
			password,
		)))
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !strings.Contains(string(raw), `"error_code":0`) {
			t.Errorf("the owner was shown %s", raw)
		}
		mine = append(mine, time.Since(begun))
	}
	stop()
	for range cap(done) {
		theirs = append(theirs, <-done...)
	}
	if m, f := quantile(mine, .5), quantile(theirs, .75); m > f/2 {
		t.Errorf("the owner waited %v, and who floods %v", m, f)
	}
}

func TestASlowClientIsCutOff(t *testing.T) {
	if testing.Short() {
		t.Skip("short: it takes as long as a slow client is borne with")
	}
	t.Parallel()
	c := open(t, nil)
	addr := c.serve()
	begun := time.Now()
	cut := make(chan string, 2)
	for name, first := range map[string]string{
		"a header byte by byte": "POST / HTTP/1.1\r\nHost: x\r\nX: ",
		"a body byte by byte":   "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{",
	} {
		go func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				cut <- name + ": " + err.Error()
				return
			}
			defer conn.Close()
			_, _ = conn.Write([]byte(first))
			for time.Since(begun) < 2*time.Minute {
				_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
				if _, err := conn.Read(make([]byte, 1024)); err == io.EOF || err != nil && strings.Contains(err.Error(), "reset") {
					cut <- ""
					return
				}
				if _, err := conn.Write([]byte("x")); err != nil {
					cut <- ""
					return
				}
			}
			cut <- name + " is still borne with"
		}()
	}
	for range cap(cut) {
		if s := <-cut; s != "" {
			t.Error(s)
		}
	}
}
