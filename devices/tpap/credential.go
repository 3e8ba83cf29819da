package tpap

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/tpap/shacrypt"
)

// form is how a device hashes a password before it is stretched (devices/PROTOCOLS.md, section 11.4). Three
// were seen on the wire.
type form struct {
	shadow int // passwd_id; 0 where the device names none
	salt   []byte
	rounds int
	camera bool
}

// Values of passwd_id that are spoken.
const (
	shadowSHA1  = 2
	shadowCrypt = 5
)

// parseForm reads extra_crypt, which is absent on some devices. It returns unspoken for every form that no device was
// seen to want.
func parseForm(raw json.RawMessage, camera bool) (form, error) {
	f := form{camera: camera}
	if len(raw) == 0 || string(raw) == "null" {
		return f, nil
	}
	var extra struct {
		Type   string `json:"type"`
		Params struct {
			ID     int    `json:"passwd_id"`
			Prefix string `json:"passwd_prefix"`
			Rounds int    `json:"passwd_rounds"`
		} `json:"params"`
	}
	if json.Unmarshal(raw, &extra) != nil {
		return f, failure.ErrProtocol
	}
	if extra.Type != "password_shadow" {
		return f, unspokenf("a password hashed by %q", plain(extra.Type))
	}
	f.shadow = extra.Params.ID
	switch f.shadow {
	case shadowSHA1:
		return f, nil
	case shadowCrypt:
	default:
		return f, unspokenf("a password hashed in form %d", f.shadow)
	}
	salt, ok := strings.CutPrefix(extra.Params.Prefix, "$5$")
	salt, rest, _ := strings.Cut(salt, "$")
	switch f.rounds = extra.Params.Rounds; {
	case !ok || salt == "" || len(salt) > 16 || rest != "":
		return f, failure.ErrProtocol
	case f.rounds != 0 && (f.rounds < 1000 || f.rounds > shacrypt.MaxRounds):
		return f, unspokenf("%d rounds of sha256-crypt", f.rounds)
	}
	f.salt = []byte(salt)
	return f, nil
}

// plain returns at most 32 bytes of a device's text that can be shown: letters, digits, "_" and "-".
func plain(s string) string {
	shown := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return -1
	}, s)
	return shown[:min(len(shown), 32)]
}

// credential returns the text that is stretched. It is as good as the password, and is never sent.
func (f form) credential(k keyring.Key) (home.Secret, error) {
	password := k.Password.Reveal()
	switch {
	case f.shadow == shadowSHA1:
		sum := sha1.Sum([]byte(password))
		return home.NewSecret(hex.EncodeToString(sum[:])), nil
	case f.shadow == shadowCrypt:
		text, err := shacrypt.Hash([]byte(upperSHA256(password)), f.salt, f.rounds)
		return home.NewSecret(text), err
	case f.camera:
		sum := md5.Sum([]byte(password))
		return home.NewSecret(hex.EncodeToString(sum[:])), nil
	}
	return home.NewSecret(k.Username + "/" + password), nil
}

func upperSHA256(s string) string {
	sum := sha256.Sum256([]byte(s))
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// userName is the name that every device takes, in the hash that the device uses. It is never the e-mail address.
func userName(hash int) string {
	if hash == 1 {
		return upperSHA256("admin")
	}
	sum := md5.Sum([]byte("admin"))
	return hex.EncodeToString(sum[:])
}
