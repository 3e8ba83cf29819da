package passthrough

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
)

// Form is the form in which a device expects a password.
type Form int

// Most devices that announce a form in discovery want Hashed ("lv": 2); those that announce none want Plain.
const (
	Hashed Form = 2
	Plain  Form = 1
)

// Other returns the other form.
func (f Form) Other() Form { return Hashed + Plain - f }

// Login signs in, once: the device counts it if it is wrong. A handshake comes before it. Errors are home.ErrNotOpened,
// with ErrWrong where the device refuses the pair and ErrForm where it expects the other form, else
// home.ErrUnreachable.
func (c *Conn) Login(ctx context.Context, f Form, username, password string) error {
	c.token = ""
	params := map[string]string{"username": b64(hexSHA1(username))}
	if f == Hashed {
		params["password2"] = b64(hexSHA1(password))
	} else {
		params["password"] = b64(password)
	}
	raw, err := encodeRequest("login_device", params)
	if err != nil {
		return err
	}
	if raw, err = c.exchangeOnce(ctx, raw); err != nil {
		return err
	}
	token, err := parseLogin(raw)
	if err != nil {
		return err
	}
	c.token = token
	return nil
}

// parseLogin reads the answer to a sign-in. That -1008 means the wrong form is a guess.
func parseLogin(raw []byte) (token string, err error) {
	var got struct {
		Code   *int `json:"error_code"`
		Result struct {
			Token string `json:"token"`
		} `json:"result"`
	}
	switch {
	case json.Unmarshal(raw, &got) != nil || got.Code == nil:
		return "", failure.Unreachable(failure.ErrProtocol)
	case *got.Code == -1501, *got.Code == 1111:
		return "", fmt.Errorf("%w: %w", home.ErrNotOpened, ErrWrong)
	case *got.Code == -1008:
		return "", fmt.Errorf("%w: %w", home.ErrNotOpened, ErrForm)
	case *got.Code != 0:
		return "", failure.Unreachable(fmt.Errorf("%w: code %d", failure.ErrProtocol, *got.Code))
	case !fitsURL(got.Result.Token):
		return "", failure.Unreachable(errors.New("its token cannot stand in an address"))
	}
	return got.Result.Token, nil
}

// fitsURL reports whether a token can stand in an address as it is.
func fitsURL(s string) bool {
	other := func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, other)
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func hexSHA1(s string) string {
	h := sha1.Sum([]byte(s))
	return hex.EncodeToString(h[:])
}
