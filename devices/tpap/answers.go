package tpap

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/tpap/spake2"
)

// What a device answers to the two steps of a sign-in. Over plain HTTP an attacker on the path can write these answers.

// registered is that answer on the wire.
type registered struct {
	Random     []byte          `json:"dev_random"`
	Salt       []byte          `json:"dev_salt"`
	Share      []byte          `json:"dev_share"`
	Suite      json.RawMessage `json:"cipher_suites"`
	Iterations int             `json:"iterations"`
	Encryption json.RawMessage `json:"encryption"`
	Extra      json.RawMessage `json:"extra_crypt"`
}

// parseRegistered reads the answer to pake_register, and returns unspoken for a suite or a cipher that was not asked
// for.
func parseRegistered(raw []byte) (registered, error) {
	result, err := parseLogin(raw)
	if err != nil {
		return registered{}, err
	}
	var r registered
	if json.Unmarshal(result, &r) != nil || !sized(r.Random) || !sized(r.Salt) {
		return r, failure.ErrProtocol
	}
	switch {
	case !isOne(r.Suite):
		return r, unspokenf("cipher suite %s", plain(string(r.Suite)))
	case text(r.Encryption) != "aes_128_ccm":
		return r, unspokenf("the cipher %q", plain(string(r.Encryption)))
	case r.Iterations < 1 || r.Iterations > spake2.MaxIterations:
		return r, unspokenf("%d iterations", r.Iterations)
	}
	return r, nil
}

// sized reports whether a device sent as many random bytes as one can expect.
func sized(b []byte) bool { return len(b) > 0 && len(b) <= 64 }

// isOne reports whether raw is 1, or the list of 1.
func isOne(raw json.RawMessage) bool {
	var one int
	var list []int
	return json.Unmarshal(raw, &one) == nil && one == 1 ||
		json.Unmarshal(raw, &list) == nil && len(list) == 1 && list[0] == 1
}

// text returns a text, or the one text of a list.
func text(raw json.RawMessage) string {
	var one string
	var list []string
	if json.Unmarshal(raw, &one) == nil {
		return one
	}
	if json.Unmarshal(raw, &list) == nil && len(list) == 1 {
		return list[0]
	}
	return ""
}

// shared is the device's answer to the second step.
type shared struct {
	confirm []byte
	stok    string
	seq     uint32
}

// parseShared reads the device's proof and the session that begins with it (devices/PROTOCOLS.md, section 11.3).
func parseShared(raw []byte) (shared, error) {
	result, err := parseLogin(raw)
	if err != nil {
		return shared{}, err
	}
	var got struct {
		Confirm []byte `json:"dev_confirm"`
		Stok    string `json:"stok"`
		Session string `json:"sessionId"`
		Seq     *int64 `json:"start_seq"`
	}
	if json.Unmarshal(result, &got) != nil || got.Seq == nil || *got.Seq < math.MinInt32 || *got.Seq > math.MaxUint32 {
		return shared{}, failure.ErrProtocol
	}
	s := shared{got.Confirm, got.Stok, uint32(*got.Seq)} // a negative one is its two's complement
	if s.stok == "" {
		s.stok = got.Session
	}
	// It goes into the path as it is: percent-encoded, devices do not know it.
	unfit := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`/?#%\"<>^{|}`+"`", r) }
	if s.stok == "" || len(s.stok) > 256 || strings.ContainsFunc(s.stok, unfit) {
		return shared{}, failure.ErrProtocol
	}
	return s, nil
}

// errorInfo is the counter in a refusal.
type errorInfo struct {
	Remain *int `json:"remainAttempts"`
	Locked int  `json:"lockedMinute"`
	Left   int  `json:"sec_left"`
}

// maxLock bounds the time for which a device can report that it is locked: over plain HTTP an attacker on the path
// can write that.
const maxLock = home.LockTime

// parseLogin returns the result of a step, a refusedError, or a failure.LockedError. Where in an answer the counter
// stands is not known for every device: any of the places is read.
func parseLogin(raw []byte) (json.RawMessage, error) {
	var a struct {
		Code   *int            `json:"error_code"`
		Result json.RawMessage `json:"result"`
		Info   *errorInfo      `json:"error_info"`
		Data   *errorInfo      `json:"data"`
	}
	if json.Unmarshal(raw, &a) != nil || a.Code == nil {
		return nil, failure.ErrProtocol
	}
	if *a.Code == 0 {
		return a.Result, nil
	}
	var inner struct {
		Info *errorInfo `json:"error_info"`
		Data *errorInfo `json:"data"`
	}
	_ = json.Unmarshal(a.Result, &inner) // absent on some
	info := errorInfo{}
	for _, i := range []*errorInfo{a.Info, a.Data, inner.Info, inner.Data} {
		if i != nil {
			info = *i
		}
	}
	left := time.Duration(min(max(info.Left, 0), int(maxLock/time.Second))) * time.Second
	left = max(left, time.Duration(min(max(info.Locked, 0), int(maxLock/time.Minute)))*time.Minute)
	switch *a.Code {
	case codeLocked, codeSuspended:
		if left == 0 {
			left = usualLock
		}
		return nil, failure.LockedError{Left: left}
	case codeWrongCamera, codeWrongPlug:
		if left > 0 {
			return nil, failure.LockedError{Left: left}
		}
		return nil, &refusedError{left: info.Remain}
	}
	return nil, failure.ErrProtocol
}

// usualLock is the time for which a device counts as locked that does not report a time.
const usualLock = home.LockTime
