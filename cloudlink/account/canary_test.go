package account_test

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
)

// forms returns the forms in which a secret may hide.
func forms(secret string) map[string]string {
	return map[string]string{
		"as it is": secret, "in base64": base64.StdEncoding.EncodeToString([]byte(secret)),
		"in base64 for URLs": base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"in hex":             hex.EncodeToString([]byte(secret)), "escaped": url.QueryEscape(secret),
	}
}
