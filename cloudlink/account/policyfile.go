package account

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// ParsePolicy reads a policy from JSON: {"profile": "vendor", "reset_life": "15m", "login_failures": 10}. What is not there stays as the
// profile has it, "default" or "vendor". Every mistake is named in the error.
func ParsePolicy(raw []byte) (Policy, error) {
	var in map[string]json.RawMessage
	if err := json.Unmarshal(raw, &in); err != nil {
		return Policy{}, errors.New("policy: not a JSON object")
	}
	p := DefaultPolicy()
	if v, ok := in["profile"]; ok {
		switch string(v) {
		case `"default"`:
		case `"vendor"`:
			p = VendorPolicy()
		default:
			return Policy{}, errors.New(`policy: profile: want "default" or "vendor"`)
		}
		delete(in, "profile")
	}
	fields := p.fields()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(in)) {
		field, ok := fields[name]
		if !ok {
			errs = append(errs, fmt.Errorf("policy: %s: there is no such limit; there are profile, %s", name, strings.Join(slices.Sorted(maps.Keys(fields)), ", ")))
			continue
		}
		if d, ok := field.(*time.Duration); ok {
			var text string
			err := json.Unmarshal(in[name], &text)
			if err == nil {
				*d, err = time.ParseDuration(text)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf(`policy: %s: want a time like "30m" or "1h30m"`, name))
			}
			continue
		}
		if string(in[name]) == "null" || json.Unmarshal(in[name], field) != nil {
			want := "a whole number"
			if _, ok := field.(*bool); ok {
				want = "true or false"
			}
			errs = append(errs, fmt.Errorf("policy: %s: want %s", name, want))
		}
	}
	if floor := DefaultPolicy(); p.HashMemory < floor.HashMemory || p.HashTime < floor.HashTime {
		errs = append(errs, fmt.Errorf("policy: hash_memory, hash_time: %d KiB and %d rounds are the least that protects passwords", floor.HashMemory, floor.HashTime))
	}
	if len(errs) == 0 {
		errs = append(errs, p.check())
	}
	return p, errors.Join(errs...)
}

// fields are the policy's limits by the names that a file gives them.
func (p *Policy) fields() map[string]any {
	return map[string]any{
		"activation": &p.Activation, "reset_life": &p.ResetLife, "activate_life": &p.ActivateLife, "pairing_life": &p.PairingLife,
		"disown_life": &p.DisownLife, "session_life": &p.SessionLife, "refresh_life": &p.RefreshLife,
		"forgot_answer": &p.ForgotAnswer, "forgot_pause": &p.ForgotPause, "forgot_per_hour": &p.ForgotPerHour, "forgot_from": &p.ForgotFrom,
		"login_failures": &p.LoginFailures, "login_window": &p.LoginWindow, "login_lock": &p.LoginLock,
		"password_min": &p.PasswordMin, "password_max": &p.PasswordMax,
		"hash_memory": &p.HashMemory, "hash_time": &p.HashTime, "hash_threads": &p.HashThreads, "hashers": &p.Hashers,
		"notice_every": &p.NoticeEvery, "max_devices": &p.MaxDevices,
	}
}

// bounds are within what a limit has to be, both ends included. Of each that is not named here, at least 1.
var bounds = map[string][2]int64{
	"reset_life": {int64(time.Millisecond), int64(24 * time.Hour)}, "activate_life": {int64(time.Millisecond), int64(30 * 24 * time.Hour)},
	"pairing_life": {int64(time.Millisecond), int64(24 * time.Hour)}, "disown_life": {int64(time.Millisecond), int64(90 * 24 * time.Hour)},
	"session_life": {int64(time.Millisecond), int64(10 * 365 * 24 * time.Hour)}, "refresh_life": {int64(time.Millisecond), int64(10 * 365 * 24 * time.Hour)},
	"forgot_answer": {0, int64(10 * time.Second)}, "forgot_pause": {0, int64(time.Hour)},
	"login_window": {int64(time.Millisecond), int64(24 * time.Hour)}, "login_lock": {int64(time.Millisecond), int64(7 * 24 * time.Hour)},
	"password_min": {6, 32}, "password_max": {6, 32}, // what the devices can hold
	"hash_memory": {8, 4 << 20}, "hash_time": {1, 100}, "hash_threads": {1, 64}, "hashers": {1, 1024},
	"notice_every": {int64(time.Millisecond), int64(7 * 24 * time.Hour)},
}

// check returns what is wrong with p, each by its name.
func (p Policy) check() error {
	var errs []error
	for name, field := range p.fields() {
		low, high := int64(1), int64(1<<40)
		if b, ok := bounds[name]; ok {
			low, high = b[0], b[1]
		}
		var n int64
		said := func(n int64) string { return fmt.Sprint(n) }
		switch f := field.(type) {
		case *time.Duration:
			n, said = int64(*f), func(n int64) string { return time.Duration(n).String() }
		case *int:
			n = int64(*f)
		case *uint32:
			n = int64(*f)
		case *uint8:
			n = int64(*f)
		default:
			continue
		}
		if n < low || n > high {
			errs = append(errs, fmt.Errorf("policy: %s: %s is not within %s to %s", name, said(n), said(low), said(high)))
		}
	}
	if p.PasswordMin > p.PasswordMax {
		errs = append(errs, fmt.Errorf("policy: password_min: %d is more than password_max, %d", p.PasswordMin, p.PasswordMax))
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}
