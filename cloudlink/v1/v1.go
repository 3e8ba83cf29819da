// Package v1 speaks the JSON API of the TP-Link cloud, version 1, as a client: POST /?token=… with
// {"method","params"}, answered by {"error_code","result"}. The account service of this project speaks it, too, with
// some methods of its own.
package v1

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/rekeyd/rekeyd/cloudlink/pin"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Code is an error code of the cloud. 0 is success.
type Code int

// The codes that this project acts on, as clients of the vendor's cloud have met them.
const (
	TimedOut         Code = -20002
	Busy             Code = -20003
	RateLimit        Code = -20004
	BadJSON          Code = -10100
	MissingParameter Code = -20104
	InvalidInput     Code = -20107
	InvalidEmail     Code = -20200
	BoundElsewhere   Code = -20506
	NotBound         Code = -20580
	DeviceOffline    Code = -20571
	NotRegistered    Code = -20600
	WrongPassword    Code = -20601
	BadNewPassword   Code = -20615
	TokenExpired     Code = -20651
	RefreshExpired   Code = -20655
	Locked           Code = -20661
	CodesLocked      Code = -20662
	LinkExpired      Code = -20673
	CannotReset      Code = -20674
	SignedInAway     Code = -20675
	SecondFactor     Code = -20677
	WrongRegion      Code = -20212
	TooOld           Code = -23003
)

// Error is an answer with an error code. The message is the server's, and only for people.
type Error struct {
	Code    Code
	Message string
	Result  json.RawMessage // beside the error, where the server sent one; not for people
}

// Error returns the server's words, made printable and short, with the code.
func (e *Error) Error() string {
	m := []rune(strings.TrimSuffix(e.Message, "."))
	if len(m) == 0 {
		m = []rune("refused")
	}
	if len(m) > maxMessage {
		m = append(m[:maxMessage:maxMessage], '…')
	}
	for i, r := range m {
		if !unicode.IsPrint(r) { // it may end on a terminal
			m[i] = ' '
		}
	}
	m[0] = unicode.ToLower(m[0])
	return fmt.Sprintf("%s (code %d)", string(m), int(e.Code))
}

// maxMessage is how much of a server's message people are shown.
const maxMessage = 200

// Is makes the codes that mean a wrong credential home.ErrCredential, and those that mean later home.ErrUnavailable.
func (e *Error) Is(target error) bool {
	switch e.Code {
	case WrongPassword, NotRegistered, TokenExpired, RefreshExpired:
		return target == home.ErrCredential
	case RateLimit, Locked, -20002, -20003:
		return target == home.ErrUnavailable
	}
	return false
}

// Client speaks to one account service.
type Client struct {
	url  string
	http *http.Client
}

const maxAnswer = 4 << 20

// New returns a client of the service at base, an http or https URL, which may pin a certificate (package pin). It
// connects to nothing.
func New(base string) (*Client, error) {
	const op = "reach the account service"
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, &home.Error{Op: op, Err: fmt.Errorf("%q is no http or https URL", base)}
	}
	sum, err := pin.Of(u)
	if err != nil {
		return nil, &home.Error{Op: op, Err: err}
	}
	u.Fragment = ""
	c := &Client{url: strings.TrimSuffix(u.String(), "/"), http: &http.Client{
		Timeout: 30 * time.Second,
		// A redirect would take the token (in the address, and so in Referer) and the password (in the body) to
		// another server.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if sum != nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = pin.Config(sum)
		c.http.Transport = transport
	}
	return c, nil
}

// Over returns a client of the service at base that sends its requests over a transport, to a socket for example.
func Over(base string, transport http.RoundTripper) (*Client, error) {
	c, err := New(base)
	if err == nil {
		c.http.Transport = transport
	}
	return c, err
}

// unreachable returns the error of a call that had no answer, with the hint for its cause.
func (c *Client) unreachable(err error) error {
	// The error of net/http repeats the URL, which may hold the token.
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	hint := "start it with: rekeyd run; or give its address with --account-url"
	_, unknown := errors.AsType[*tls.CertificateVerificationError](err)
	if unknown || errors.Is(err, pin.ErrOther) {
		hint = "read the fingerprint where the service runs (rekeyd status, or its first lines), and give the URL with it: " +
			c.url + "#sha256=FINGERPRINT"
	}
	return &home.Error{
		Op: "reach the account service at " + c.url, Err: fmt.Errorf("%w: %w", home.ErrUnavailable, err), Hint: hint,
	}
}

// Call calls a method. token may be empty. It returns *Error where the service answered with an error code, and
// home.ErrUnavailable where it did not answer, or not in this form.
func (c *Client) Call(ctx context.Context, token home.Secret, method string, params, result any) error {
	body, err := json.Marshal(map[string]any{"method": method, "params": params})
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	u := c.url + "/"
	if !token.IsZero() {
		u += "?token=" + url.QueryEscape(token.Reveal())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: malformed URL", method)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s: answer cut short: %w", method, home.ErrUnavailable)
	}
	var out struct {
		Code   *number         `json:"error_code"`
		Msg    string          `json:"msg"`
		Result json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return fmt.Errorf("%s: answered with status %d and no such JSON: %w", method, resp.StatusCode, home.ErrUnavailable)
	}
	var code number
	switch {
	case out.Code != nil:
		code = *out.Code
	case len(out.Result) == 0: // JSON of another service
		return fmt.Errorf("%s: answered with status %d and no error code: %w", method, resp.StatusCode, home.ErrUnavailable)
	}
	if code == 0 && len(out.Result) > 0 { // an error can also come nested
		var nested struct {
			Code number `json:"errorCode"`
			Msg  string `json:"errorMsg"`
		}
		if json.Unmarshal(out.Result, &nested) == nil && nested.Code != 0 {
			code, out.Msg = nested.Code, nested.Msg
		}
	}
	switch {
	case code != 0:
		return &Error{Code: Code(code), Message: out.Msg, Result: out.Result}
	case resp.StatusCode != http.StatusOK: // a success that never came about
		return fmt.Errorf("%s: answered with status %d: %w", method, resp.StatusCode, home.ErrUnavailable)
	}
	if result == nil || len(out.Result) == 0 {
		return nil
	}
	if err := json.Unmarshal(out.Result, result); err != nil {
		return fmt.Errorf("%s: result has another form: %w", method, home.ErrUnavailable)
	}
	return nil
}

// number is an error code, which comes as a number or as a string.
type number int

// UnmarshalJSON accepts a number and a text: servers send both.
func (n *number) UnmarshalJSON(b []byte) error {
	i, err := strconv.Atoi(strings.Trim(string(b), `"`))
	*n = number(i)
	return err
}
