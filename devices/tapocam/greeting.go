package tapocam

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/post"
)

// Codes of cameras: devices/PROTOCOLS.md, section 10.2.
const (
	codeUnauthorized = -40401
	codeBlocked      = -40404
	codeChallenge    = -40413
	codeLocalLogin   = -40414 // it has a password of its own
	codeOldPassword  = -60506
)

// greeting is a camera's answer to the begin, or the end, of a sign-in.
type greeting struct {
	challenge
	old        bool // its firmware knows no challenge
	tries, max int  // the camera's own count of wrong sign-ins and its limit; 0 where it reports none
	stok       string
	seq        int
}

// defaultLock is the lock-out of a camera that does not report for how long. Longer reports are not believed: they come
// before the camera has proved anything.
const defaultLock = home.LockTime

// body is any answer, as far as it is read. Cameras differ in where they put the data of a sign-in.
type body struct {
	Code   *int `json:"error_code"`
	Result struct {
		Data     signInData `json:"data"`
		Stok     string     `json:"stok"`
		Seq      int        `json:"start_seq"`
		Response []byte     `json:"response"`
	} `json:"result"`
	Data signInData `json:"data"`
}

type signInData struct {
	Code    int             `json:"code"`
	Time    int             `json:"time"`
	Max     int             `json:"max_time"`
	Left    int64           `json:"sec_left"`
	Types   json.RawMessage `json:"encrypt_type"` // a list of texts, or one
	Nonce   string          `json:"nonce"`
	Confirm string          `json:"device_confirm"`
}

// types returns the kinds of sign-in that the camera offers.
func (d signInData) types() []string {
	var all []string
	if json.Unmarshal(d.Types, &all) == nil {
		return all
	}
	var one string
	_ = json.Unmarshal(d.Types, &one) // another type of value offers none
	return []string{one}
}

// parseBody reads the envelope of any answer of a camera. An answer without a code is failure.ErrProtocol.
func parseBody(a post.Answer) (body, error) {
	var b body
	switch {
	case a.Status == http.StatusForbidden:
		return b, failure.ErrThirdParty // as with KLAP: devices/PROTOCOLS.md, section 7.1
	case a.Status != http.StatusOK, json.Unmarshal(a.Body, &b) != nil, b.Code == nil:
		return b, failure.ErrProtocol
	}
	return b, nil
}

// parseGreeting reads the answer to a sign-in that was begun with cnonce, or completed.
func parseGreeting(a post.Answer, cnonce string) (greeting, error) {
	b, err := parseBody(a)
	if err != nil {
		return greeting{}, err
	}
	d := b.Result.Data
	if d.Code == 0 && d.Nonce == "" && d.Left == 0 {
		d = b.Data
	}
	g := greeting{tries: d.Time, max: d.Max}
	types := d.types()
	onlyTPAP := slices.Contains(types, "4") && !slices.Contains(types, "3") && !slices.Contains(types, "2")
	switch {
	case *b.Code == codeBlocked, d.Code == codeBlocked, d.Left > 0:
		left := defaultLock
		if d.Left > 0 {
			left = time.Duration(min(d.Left, int64(home.LockTime/time.Second))) * time.Second
		}
		return g, failure.LockedError{Left: left}
	case *b.Code == 0:
		if !fitsURL(b.Result.Stok, 128) {
			return g, failure.ErrProtocol
		}
		g.stok, g.seq = b.Result.Stok, b.Result.Seq
		return g, nil
	case onlyTPAP:
		return g, failure.ErrThirdParty // devices/PROTOCOLS.md, section 11.1
	case *b.Code == codeChallenge && d.Nonce != "":
		if !fitsURL(d.Nonce, 64) || len(d.Confirm) > 256 {
			return g, failure.ErrProtocol
		}
		g.challenge = challenge{cnonce, d.Nonce, strings.ToUpper(d.Confirm)}
		return g, nil
	case *b.Code == codeUnauthorized, *b.Code == codeChallenge:
		g.old = true
		return g, nil
	case *b.Code == codeLocalLogin:
		return g, errRefused
	}
	return g, failure.ErrProtocol
}

// fitsURL reports whether s can stand in an address as it is.
func fitsURL(s string, longest int) bool {
	other := func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }
	return s != "" && len(s) <= longest && !strings.ContainsFunc(s, other)
}
