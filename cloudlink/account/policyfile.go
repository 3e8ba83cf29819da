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
// profile has it, "default" or "vendor". The error names every mistake, and within what a limit has to be.
func ParsePolicy(raw []byte) (Policy, error) {
	var in map[string]json.RawMessage
	if json.Unmarshal(raw, &in) != nil || in == nil {
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
	knobs := p.knobs()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(in)) {
		i := slices.IndexFunc(knobs, func(k knob) bool { return k.name == name })
		if i < 0 {
			names := []string{"profile"}
			for _, k := range knobs {
				names = append(names, k.name)
			}
			errs = append(errs, fmt.Errorf("policy: %.40q: there is no such limit; there are %s", name, strings.Join(names, ", ")))
			continue
		}
		if err := knobs[i].set(in[name]); err != nil {
			errs = append(errs, fmt.Errorf("policy: %s: %w", name, err))
		}
	}
	if len(errs) == 0 {
		errs = append(errs, p.check())
	}
	return p, errors.Join(errs...)
}

// knob is a limit by the name that a file gives it, and within what a file may set it, both ends included.
type knob struct {
	name      string
	field     any // *bool, *time.Duration, *int, *uint32 or *uint8
	low, high int64
}

// set takes the value that a file gives.
func (k knob) set(raw json.RawMessage) error {
	var n int64
	switch f := k.field.(type) {
	case *bool:
		if string(raw) == "null" || json.Unmarshal(raw, f) != nil {
			return errors.New("want true or false")
		}
		return nil
	case *time.Duration:
		var text string
		err := json.Unmarshal(raw, &text)
		d, bad := time.ParseDuration(text)
		if err != nil || bad != nil {
			return fmt.Errorf(`want a time like "30m" or "1h30m", %s to %s`, k.said(k.low), k.said(k.high))
		}
		n = int64(d)
	default:
		if string(raw) == "null" || json.Unmarshal(raw, &n) != nil {
			return fmt.Errorf("want a whole number, %d to %d", k.low, k.high)
		}
	}
	if n < k.low || n > k.high {
		return fmt.Errorf("%s is not within %s to %s", k.said(n), k.said(k.low), k.said(k.high))
	}
	switch f := k.field.(type) {
	case *time.Duration:
		*f = time.Duration(n)
	case *int:
		*f = int(n)
	case *uint32:
		*f = uint32(n)
	case *uint8:
		*f = uint8(n)
	}
	return nil
}

func (k knob) value() int64 {
	switch f := k.field.(type) {
	case *time.Duration:
		return int64(*f)
	case *int:
		return int64(*f)
	case *uint32:
		return int64(*f)
	case *uint8:
		return int64(*f)
	}
	return 1 // yes or no
}

// said is a value as a file writes it.
func (k knob) said(n int64) string {
	if _, ok := k.field.(*time.Duration); !ok {
		return fmt.Sprint(n)
	}
	text := time.Duration(n).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
