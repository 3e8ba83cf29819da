package account

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Policy has the limits of the service that an operator can set. Each has a name in the policy's file (json) and a
// range (from, to); file is the least that a file can set, where tests use less.
type Policy struct {
	// Activation states that a link in a mail opens a new account.
	Activation bool `json:"activation"`

	ResetLife   time.Duration `json:"reset_life" from:"1s" to:"24h"` // of the link in a reset mail
	PairingLife time.Duration `json:"pairing_life" from:"1s" to:"24h"`

	// ForgotAnswer is the time after a request for a mail at which it is answered, for every address. Less than 100 ms
	// would show the delays of a busy machine.
	ForgotAnswer  time.Duration `json:"forgot_answer" from:"0s" to:"10s" file:"100ms"`
	ForgotPause   time.Duration `json:"forgot_pause" from:"0s" to:"24h" file:"1s"` // between two mails to one address
	ForgotPerHour int           `json:"forgot_per_hour" from:"1" to:"1000"`        // mails to one address
	ForgotFrom    int           `json:"forgot_from" from:"1" to:"100000"`          // a network address, in ten minutes

	LoginFailures int `json:"login_failures" from:"1" to:"1000"` // in half an hour lock for two hours
	LoginFrom     int `json:"login_from" from:"1" to:"100000"`   // failures of a network address

	// ConnectionsFrom is how many connections a network address can have open, on all ports of the program.
	ConnectionsFrom int `json:"connections_from" from:"8" to:"100000"`

	PasswordMin int `json:"password_min" from:"6" to:"32"` // characters; the vendor's rule is 6

	HashMemory uint32 `json:"hash_memory" from:"1" to:"4194304" file:"19456"` // KiB, of argon2id; OWASP's least is 19456
	HashTime   uint32 `json:"hash_time" from:"1" to:"100" file:"2"`
}

// What no operator sets.
const (
	activateLife = 24 * time.Hour       // of the link in an activation mail
	disownLife   = 7 * 24 * time.Hour   // of the link "this was not me"
	sessionLife  = 30 * 24 * time.Hour  // of a token
	refreshLife  = 180 * 24 * time.Hour // of a refresh token
	hashThreads  = 1                    // of argon2id

	// The longest lives of the records in the store. Something that ends later was made while the clock was ahead.
	LongestSession      = refreshLife
	LongestLink         = disownLife
	LongestRegistration = activateLife
	LongestPairing      = 24 * time.Hour

	// MaxPassword is how many characters the devices of this family hold (vendor's code -20615).
	MaxPassword = 32
	// MaxDevices is how many devices an account can have.
	MaxDevices = 100_000
)

// hashers is how many passwords are hashed at once. Each needs Policy.HashMemory, and as much again until the garbage is
// collected: together they get half of the memory that the process may use, as the collector's limit states it.
func (p Policy) hashers() int {
	each := 2 * int64(p.HashMemory) << 10
	fit := debug.SetMemoryLimit(-1) / 2 / each
	return int(max(1, min(fit, 4, int64(runtime.GOMAXPROCS(0)))))
}

// DefaultPolicy follows OWASP's Forgot Password Cheat Sheet and NIST SP 800-63B, within what the devices can hold.
func DefaultPolicy() Policy {
	return Policy{
		Activation: true,
		ResetLife:  30 * time.Minute, PairingLife: 10 * time.Minute,
		ForgotAnswer: 400 * time.Millisecond, ForgotPause: time.Minute, ForgotPerHour: 5, ForgotFrom: 10,
		LoginFailures: 20, LoginFrom: 200,
		ConnectionsFrom: 256,
		PasswordMin:     12,
		HashMemory:      19 << 10, HashTime: 2,
	}
}

// Validate returns which limits are out of range, each by its name.
func (p Policy) Validate() error { return p.within("from") }

// within is Validate with the lower ends that a tag states, where it is there.
func (p Policy) within(lower string) error {
	var errs []error
	v := reflect.ValueOf(p)
	for i := range v.NumField() {
		f, got := v.Type().Field(i), v.Field(i)
		if f.Type.Kind() == reflect.Bool {
			continue
		}
		low, ok := f.Tag.Lookup(lower)
		if !ok {
			low = f.Tag.Get("from")
		}
		high := f.Tag.Get("to")
		if n := number(got); n < parse(f, low) || n > parse(f, high) {
			errs = append(errs, fmt.Errorf("policy: %s: %v is not within %s to %s", f.Tag.Get("json"), got, low, high))
		}
	}
	return errors.Join(errs...)
}

// number returns the value of a limit.
func number(v reflect.Value) int64 {
	if v.CanUint() {
		return int64(v.Uint())
	}
	return v.Int()
}

// parse reads an end of a limit's range. TestEveryLimitHasItsRange reads all of them.
func parse(f reflect.StructField, end string) int64 {
	if f.Type == reflect.TypeFor[time.Duration]() {
		d, _ := time.ParseDuration(end)
		return int64(d)
	}
	var n int64
	_, _ = fmt.Sscan(end, &n)
	return n
}

// ParsePolicy reads a policy from JSON, like {"reset_life": "15m", "login_failures": 10}. Other limits are those of
// DefaultPolicy. The error names every mistake.
func ParsePolicy(raw []byte) (Policy, error) {
	p := DefaultPolicy()
	var in map[string]json.RawMessage
	if json.Unmarshal(raw, &in) != nil || in == nil {
		return p, errors.New("policy: not a JSON object")
	}
	var errs []error
	var names []string
	v := reflect.ValueOf(&p).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("json")
		names = append(names, name)
		if value, ok := in[name]; ok {
			if err := set(v.Field(i), value); err != nil {
				errs = append(errs, fmt.Errorf("policy: %s: %w", name, err))
			}
			delete(in, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		errs = append(errs,
			fmt.Errorf("policy: %.40q: there is no such limit; there are %s", name, strings.Join(names, ", ")))
	}
	return p, errors.Join(append(errs, p.within("file"))...)
}

// set sets a limit to the value in a file.
func set(field reflect.Value, raw json.RawMessage) error {
	d, isDuration := field.Addr().Interface().(*time.Duration)
	var text string
	switch {
	case string(raw) == "null":
		return errors.New("want a value, not null")
	case !isDuration && json.Unmarshal(raw, field.Addr().Interface()) != nil:
		return fmt.Errorf("want a value of type %s", field.Kind())
	case isDuration:
		err := json.Unmarshal(raw, &text)
		if err == nil {
			*d, err = time.ParseDuration(text)
		}
		if err != nil {
			return errors.New(`want a time like "30m" or "1h30m"`)
		}
	}
	return nil
}
