// Package pairing is the word with which an account's owner approves a new hub: made by the account service for a
// signed-in owner, carried to the hub in a file, a link or a QR code, used once within ten minutes.
package pairing

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Pairing is everything that a hub needs to enrol.
type Pairing struct {
	Name    string      // names it to the service
	Secret  home.Secret // proves it, both ways; at least 128 bits
	Account string
	Service wire.Keys
	Brokers []wire.Broker // tried in turn
	URL     string        // of the account service, for people and the API
}

const prefix = "rekeyd-pair:"

type form struct {
	Name    string        `json:"name"`
	Secret  string        `json:"secret"`
	Account string        `json:"account"`
	Service wire.Keys     `json:"service"`
	Brokers []wire.Broker `json:"brokers"`
	URL     string        `json:"url,omitempty"`
}

// Reveal returns the pairing as one word, its secret in the clear.
func (p Pairing) Reveal() string {
	raw, _ := json.Marshal(form{p.Name, p.Secret.Reveal(), p.Account, p.Service, p.Brokers, p.URL}) // cannot fail
	return prefix + base64.RawURLEncoding.EncodeToString(raw)
}

// Parse reads the word. Its errors do not repeat it.
func Parse(s string) (Pairing, error) {
	errForm := errors.New("pairing: want the whole word, which begins with rekeyd-pair")
	enc, ok := strings.CutPrefix(strings.TrimSpace(s), prefix)
	raw, err := base64.RawURLEncoding.DecodeString(enc)
	if !ok || err != nil {
		return Pairing{}, errForm
	}
	var f form
	if json.Unmarshal(raw, &f) != nil || !wire.ValidName(f.Name) || !wire.ValidName(f.Account) || len(f.Secret) < 22 ||
		len(f.Service.Sign) != 32 || len(f.Service.Seal) != 32 || len(f.Brokers) == 0 {
		return Pairing{}, errForm
	}
	return Pairing{f.Name, home.NewSecret(f.Secret), f.Account, f.Service, f.Brokers, f.URL}, nil
}
