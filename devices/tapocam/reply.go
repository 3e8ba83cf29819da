package tapocam

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/devices/post"
)

// Codes of devices/PROTOCOLS.md, section 10.
const (
	codeUnauthorized = -40401
	codeBlocked      = -40404
	codeChallenge    = -40413
	codeLocalLogin   = -40414 // it wants a password of its own
	codeOldPassword  = -60506
)

// What a camera may say to a sign-in.
var (
	errAnswer     = errors.New("no answer of this protocol")
	errThirdParty = errors.New("its app lets no other program in")
	errWrong      = errors.New("it does not take the password")
)

// lockedError is a camera that takes no sign-in for a while.
type lockedError struct{ left time.Duration }

func (lockedError) Error() string { return "it takes no sign-ins for a while" }

// greeting is what a camera answers to one who wants to sign in.
type greeting struct {
	challenge
	old        bool // it knows no challenge
	tries, max int  // the camera's own count of wrong sign-ins, and at how many it locks; 0 where it does not say
	stok       string
	seq        int
}

// unlock is how long a camera is taken to be locked that does not say, and longest what is believed.
const (
	unlock  = 30 * time.Minute
	longest = 24 * time.Hour
)

// body is any answer, as far as it is read. Where a camera puts what it says of a sign-in is not the same in all of them.
type body struct {
	Code   *int `json:"error_code"`
	Result struct {
		Data     detail `json:"data"`
		Stok     string `json:"stok"`
		Seq      int    `json:"start_seq"`
		Response []byte `json:"response"`
	} `json:"result"`
	Data detail `json:"data"`
}

type detail struct {
	Code    int             `json:"code"`
	Time    int             `json:"time"`
	Max     int             `json:"max_time"`
	Left    int64           `json:"sec_left"`
	Types   json.RawMessage `json:"encrypt_type"` // a list of texts, or one
	Nonce   string          `json:"nonce"`
	Confirm string          `json:"device_confirm"`
}

// types returns in which ways one can sign in.
func (d detail) types() []string {
	var all []string
	if json.Unmarshal(d.Types, &all) == nil {
		return all
	}
	var one string
	_ = json.Unmarshal(d.Types, &one) // what is neither says nothing
	return []string{one}
}

func parseBody(a post.Answer) (body, error) {
	var b body
	switch {
	case a.Status == http.StatusForbidden:
		return b, errThirdParty // so it is with devices of another protocol: 2.4
	case a.Status != http.StatusOK, json.Unmarshal(a.Body, &b) != nil, b.Code == nil:
		return b, errAnswer
	}
	return b, nil
}

// parseGreeting reads the answer to a sign-in that was begun with cnonce, or done.
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
	switch {
	case *b.Code == codeBlocked, d.Code == codeBlocked, d.Left > 0:
		left := unlock
		if d.Left > 0 {
			left = time.Duration(min(d.Left, int64(longest/time.Second))) * time.Second
		}
		return g, lockedError{left}
	case *b.Code == 0:
		if !token(b.Result.Stok, 128) {
			return g, errAnswer
		}
		g.stok, g.seq = b.Result.Stok, b.Result.Seq
		return g, nil
	case slices.Contains(types, "4") && !slices.Contains(types, "3") && !slices.Contains(types, "2"):
		return g, errThirdParty // it speaks TPAP: 2.3
	case *b.Code == codeChallenge && d.Nonce != "":
		if !token(d.Nonce, 64) || len(d.Confirm) > 256 {
			return g, errAnswer
		}
		g.challenge = challenge{cnonce, d.Nonce, strings.ToUpper(d.Confirm)}
		return g, nil
	case *b.Code == codeUnauthorized, *b.Code == codeChallenge:
		g.old = true
		return g, nil
	case *b.Code == codeLocalLogin:
		return g, errWrong
	}
	return g, errAnswer
}

// token tells whether s can stand in an address as it is.
func token(s string, longest int) bool {
	return s != "" && len(s) <= longest && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}
