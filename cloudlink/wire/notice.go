package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Notice announces that an epoch has begun. It is one JWS of the account service, unchanged for its life. Notices are
// chained: each names the hash of the one before, so that none can be left out or put in.
//
// In JSON, and in its topic, a notice is the text of its JWS.
type Notice struct {
	Account string `json:"account"`
	Epoch   uint64 `json:"epoch,string"`
	At      int64  `json:"at"`                // when the epoch began, Unix milliseconds
	Cause   string `json:"cause"`             // "registered", "reset" or "changed"
	Via     string `json:"via"`               // the door: "kasa", "tpcamera" or "web"
	Exposed bool   `json:"exposed,omitempty"` // somebody else may know the old password
	Prev    []byte `json:"prev,omitempty"`    // hash of the notice before; absent in the first

	text string // the JWS; empty before SignNotice
}

// maxNotice is the size of the longest notice that is read, in bytes.
const maxNotice = 4 << 10

// SignNotice returns n signed by id.
func (id *Identity) SignNotice(n Notice) Notice {
	type payload Notice                // without Notice's own JSON form
	raw, _ := json.Marshal(payload(n)) // cannot fail: strings, numbers and bytes
	n.text = string(id.signJWS(useNotice, raw))
	return n
}

// ParseNotice reads a notice. It does not check the signature: Verify does.
func ParseNotice(text []byte) (Notice, error) {
	if len(text) > maxNotice {
		return Notice{}, fmt.Errorf("notice of %d bytes, at most %d", len(text), maxNotice)
	}
	j, err := parseJWS(text)
	if err != nil {
		return Notice{}, fmt.Errorf("notice: %w", err)
	}
	type payload Notice
	var p payload
	if err := json.Unmarshal(j.payload, &p); err != nil {
		return Notice{}, fmt.Errorf("notice: %w", err)
	}
	n := Notice(p)
	n.text = string(text)
	if j.use != useNotice {
		return Notice{}, fmt.Errorf("notice: a JWS for another use")
	}
	return n, n.check()
}

func (n Notice) check() error { return first(names(n.Account), text(n.Cause, n.Via)) }

// JWS returns the text of the JWS, as it stands in the notice's topic.
func (n Notice) JWS() []byte { return []byte(n.text) }

// MarshalText returns the text of the JWS.
func (n Notice) MarshalText() ([]byte, error) { return n.JWS(), nil }

// UnmarshalText is ParseNotice.
func (n *Notice) UnmarshalText(text []byte) (err error) {
	*n, err = ParseNotice(text)
	return err
}

// Hash is the SHA-256 of the signed part of the JWS, the text before its second dot. Its successor names it. The
// signature is left out: a library that reads base64 leniently could accept two texts of one signature.
func (n Notice) Hash() []byte {
	h := sha256.Sum256([]byte(n.text[:max(0, strings.LastIndexByte(n.text, '.'))]))
	return h[:]
}

// Verify checks who signed the notice, and that it is the account's; it returns home.ErrForged.
func (n Notice) Verify(service Keys, account string) error {
	if n.Account != account {
		return fmt.Errorf("notice of account %s: %w", clip(n.Account), home.ErrForged)
	}
	j, err := parseJWS([]byte(n.text))
	signed, _ := ParseNotice([]byte(n.text)) // a field that was changed after signing is not signed
	if err != nil || j.verify(service.Sign) != nil || !reflect.DeepEqual(signed, n) {
		return fmt.Errorf("notice of epoch %d: %w", n.Epoch, home.ErrForged)
	}
	return nil
}

// Follows checks a verified notice against the newest that was accepted: epoch and hash. It returns nil when it is that
// notice again or its successor, home.ErrOldEpoch when it is older, home.ErrForged when it contradicts the chain, and
// ErrGap when notices in between are missing.
func (n Notice) Follows(epoch home.Epoch, hash []byte) error {
	e := home.Epoch(n.Epoch)
	switch {
	case e < epoch:
		return fmt.Errorf("notice of epoch %d after %d: %w", e, epoch, home.ErrOldEpoch)
	case e == epoch && bytes.Equal(n.Hash(), hash), e.Succeeds(epoch) && bytes.Equal(n.Prev, hash):
		return nil
	case e == epoch, e.Succeeds(epoch), e == math.MaxUint64:
		return fmt.Errorf("notice of epoch %d breaks the chain: %w", e, home.ErrForged)
	}
	return fmt.Errorf("notice of epoch %d after %d: %w", e, epoch, ErrGap)
}

// ErrGap means that notices in between are missing. The member sends a hello, and the grants bring them.
var ErrGap = errors.New("notices in between are missing")
