package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Notice is the account's word that an epoch has begun, signed by the account service. Notices are chained: each names the
// hash of the one before, so that none can be left out or put in.
type Notice struct {
	Account string `json:"account"`
	Epoch   uint64 `json:"epoch"`
	At      int64  `json:"at"`     // when the epoch began, Unix milliseconds
	Issued  int64  `json:"issued"` // when this copy was signed: a broker that withholds newer ones shows by its age
	Cause   string `json:"cause"`  // "registered", "reset" or "changed"
	Via     string `json:"via"`    // the door: "kasa", "tpcamera" or "web"
	Prev    []byte `json:"prev"`   // hash of the notice before; empty for the first
	Sig     []byte `json:"sig"`    // Ed25519
}

// Hash names the notice in the next one. It leaves out when this copy was signed, and the signature.
func (n Notice) Hash() []byte {
	h := sha256.Sum256(Encode("rekeyd/v1/notice-hash", n.Account, n.Epoch, n.At, n.Cause, n.Via, n.Prev))
	return h[:]
}

// SignNotice returns n signed by id.
func (id *Identity) SignNotice(n Notice) Notice {
	n.Sig = id.Signature(Encode("rekeyd/v1/notice", n))
	return n
}

// Verify checks who signed the notice, and that it is the account's; it returns home.ErrForged.
func (n Notice) Verify(service Keys, account string) error {
	if n.Account != account {
		return fmt.Errorf("notice of account %s: %w", clip(n.Account), home.ErrForged)
	}
	if err := service.Verify(Encode("rekeyd/v1/notice", n), n.Sig); err != nil {
		return fmt.Errorf("notice of epoch %d: %w", n.Epoch, err)
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

// ErrGap says that notices are missing: ask for the grants since.
var ErrGap = errors.New("notices in between are missing")

// ParseNotice reads a notice as it stands, retained, in its topic. Verify says whether to believe it.
func ParseNotice(raw []byte) (Notice, error) {
	var n Notice
	if len(raw) > 4<<10 {
		return n, fmt.Errorf("notice of %d bytes", len(raw))
	}
	if err := json.Unmarshal(raw, &n); err != nil {
		return n, fmt.Errorf("notice: %w", err)
	}
	return n, n.check()
}

func (n Notice) check() error { return first(names(n.Account), text(n.Cause, n.Via)) }

// JSON returns the notice as it goes into its topic.
func (n Notice) JSON() []byte {
	raw, _ := json.Marshal(n) // cannot fail: strings, numbers and bytes
	return raw
}
