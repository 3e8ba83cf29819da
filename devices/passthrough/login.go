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
)

// Form is how a device wants to be told a password.
type Form int

// Most devices that say how in discovery want Hashed ("lv": 2); those that do not say want Plain.
const (
	Hashed Form = 2
	Plain  Form = 1
)

// Other is the form that this is not.
func (f Form) Other() Form { return Hashed + Plain - f }

// Login signs in, once: the device counts it if it is wrong. A handshake comes before it. Errors are home.ErrNotOpened, with ErrWrong inside
// where the device does not take the pair and ErrForm where it wants the other form, else home.ErrUnreachable.
func (l *Line) Login(ctx context.Context, f Form, username string, password home.Secret) error {
	l.token = ""
	params := map[string]string{"username": b64(hexSHA1(username))}
	if f == Hashed {
		params["password2"] = b64(hexSHA1(password.Reveal()))
	} else {
		params["password"] = b64(password.Reveal())
	}
	raw, err := say("login_device", params)
	if err != nil {
		return err
	}
	if raw, err = l.once(ctx, raw); err != nil {
		return err
	}
	token, err := parseLogin(raw)
	if err != nil {
		return err
	}
	l.token = token
	return nil
}

// parseLogin reads the answer to a login.
func parseLogin(raw []byte) (token string, err error) {
	var got struct {
		Code   *int `json:"error_code"`
		Result struct {
			Token string `json:"token"`
		} `json:"result"`
	}
	switch {
	case json.Unmarshal(raw, &got) != nil || got.Code == nil:
		return "", lost(ErrOther)
	case *got.Code == -1501, *got.Code == 1111:
		return "", fmt.Errorf("%w: %w", home.ErrNotOpened, ErrWrong)
	case *got.Code == -1008:
		return "", fmt.Errorf("%w: %w", home.ErrNotOpened, ErrForm)
	case *got.Code != 0:
		return "", lost(fmt.Errorf("%w: code %d", ErrOther, *got.Code))
	case !fit(got.Result.Token):
		return "", lost(errors.New("it gives no token that can be sent back"))
	}
	return got.Result.Token, nil
}

// fit tells whether a token can stand in an address as it is.
func fit(s string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func hexSHA1(s string) string {
	h := sha1.Sum([]byte(s))
	return hex.EncodeToString(h[:])
}
