package sim

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Spec describes one simulated device.
type Spec struct {
	Kind     home.Kind
	Protocol home.Protocol
	Name     string // "plug-1" and so on when empty
	Model    string // the usual one of its kind when empty
	Username string // the account that it is bound to, from the start; bound to none when empty. A native device never is
	Password home.Secret
	// DevicePassword is that of an NC camera's own web page; the factory's when empty.
	DevicePassword home.Secret
	Addr           netip.Addr       // in 127.0.0.0/8; the house chooses one when invalid
	MAC            net.HardwareAddr // its hardware address; made of its address when empty
	Defects        []Defect         // those that its protocol knows
	Locks          int              // wrong sign-ins in a row that lock it for a while; the number usual for its protocol when 0

	// Set by newDevice.
	opened *opened                                       // nil for none
	listen func(at netip.AddrPort) (net.Listener, error) // nil for TCP
}

// limits of a house: addresses, and sockets of one process.
const (
	maxDevices = 10000
	maxHouse   = 4 << 20
	maxLocks   = 1000
)

// ParseCount reads how many devices of which kind: "plug:iot=3,bulb:iot=2,camera:native=1".
func ParseCount(text string) ([]Spec, error) {
	var specs []Spec
	for part := range strings.SplitSeq(text, ",") {
		what, number, ok := strings.Cut(strings.TrimSpace(part), "=")
		k, p, ok2 := strings.Cut(what, ":")
		if !ok || !ok2 {
			return nil, fmt.Errorf("%q: want KIND:PROTOCOL=N, as in plug:iot=3", part)
		}
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || len(specs)+n > maxDevices {
			return nil, fmt.Errorf("%q: want a number of devices from 1, up to %d in all", part, maxDevices)
		}
		s := Spec{Protocol: home.Protocol(strings.ToLower(p))}
		if s.Kind, err = home.ParseKind(k); err != nil {
			return nil, fmt.Errorf("%q: %w", part, err)
		}
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("%q: %w", part, err)
		}
		for range n {
			specs = append(specs, s)
		}
	}
	return specs, nil
}

// specJSON is a Spec in a house file.
type specJSON struct {
	Kind     string   `json:"kind"`
	Protocol string   `json:"protocol"`
	Name     string   `json:"name"`
	Model    string   `json:"model"`
	Username string   `json:"username"`
	Password string   `json:"password"`
	Own      string   `json:"device_password"`
	Addr     string   `json:"addr"`
	MAC      string   `json:"mac"`
	Defects  []Defect `json:"defects"`
	Locks    int      `json:"locks"`
}

// ReadHouse reads a JSON list of devices, each an object with the fields of specJSON, of which kind and protocol must
// be there. It refuses unknown fields.
func ReadHouse(r io.Reader) ([]Spec, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxHouse+1))
	if err != nil {
		return nil, fmt.Errorf("read house: %w", err)
	}
	if len(raw) > maxHouse {
		return nil, fmt.Errorf("read house: more than %d bytes", maxHouse)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("read house: want a JSON list of devices: %w", err)
	}
	if len(list) == 0 || len(list) > maxDevices {
		return nil, fmt.Errorf("read house: %d devices: want 1 to %d", len(list), maxDevices)
	}
	var specs []Spec
	var errs []error
	for i, one := range list {
		s, err := readSpec(one)
		if err != nil {
			errs = append(errs, fmt.Errorf("read house: device %d: %w", i+1, err))
		}
		specs = append(specs, s)
	}
	return specs, errors.Join(errs...)
}

// readSpec reads one device of a house file.
func readSpec(raw json.RawMessage) (Spec, error) {
	var j specJSON
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		// A value of a wrong type is named by its field; the value itself may be a password.
		if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			if t.Field == "" {
				return Spec{}, errors.New("want an object")
			}
			want := "text"
			switch {
			case strings.HasPrefix(t.Field, "defects"):
				want = "a list of texts"
			case t.Field == "locks":
				want = "a number"
			}
			return Spec{}, fmt.Errorf("field %q: want %s", t.Field, want)
		}
		return Spec{}, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	s := Spec{
		Protocol: home.Protocol(strings.ToLower(j.Protocol)), Name: j.Name, Model: j.Model,
		Username: j.Username, Password: home.NewSecret(j.Password), Defects: j.Defects, Locks: j.Locks,
		DevicePassword: home.NewSecret(j.Own),
	}
	var err error
	if s.Kind, err = home.ParseKind(j.Kind); err != nil {
		return s, fmt.Errorf("field %q: %w", "kind", err)
	}
	if j.Addr != "" {
		if s.Addr, err = netip.ParseAddr(j.Addr); err != nil {
			return s, fmt.Errorf("field %q: want an address in 127.0.0.0/8", "addr")
		}
	}
	if j.MAC != "" {
		if s.MAC, err = hex.DecodeString(j.MAC); err != nil || len(s.MAC) != 6 {
			return s, fmt.Errorf("field %q: want twelve hexadecimal digits", "mac")
		}
	}
	return s, s.check()
}

// open opens a port of the device.
func (s Spec) open(at netip.AddrPort) (net.Listener, error) {
	if s.listen != nil {
		return s.listen(at)
	}
	return net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at))
}

// openUDP opens a port of the device for datagrams; nil where it has TCP alone.
func (s Spec) openUDP(at netip.AddrPort) (*net.UDPConn, error) {
	if s.listen != nil {
		return nil, nil
	}
	return net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
}

// hardware returns the device's hardware address: made, unless the spec has one.
func (s Spec) hardware(made net.HardwareAddr) net.HardwareAddr {
	if len(s.MAC) > 0 {
		return s.MAC
	}
	return made
}

// check returns the errors of a spec, by field.
func (s Spec) check() error {
	var errs []error
	p, err := protocolOf(s.Protocol)
	if err == nil {
		err = p.check(s)
	}
	errs = append(errs, err)
	if s.Locks < 0 || s.Locks > maxLocks {
		errs = append(errs, fmt.Errorf("field %q: want 1 to %d wrong sign-ins, 0 for as many as is usual", "locks", maxLocks))
	}
	if !s.DevicePassword.IsZero() && !s.Protocol.Info().OwnLogin {
		errs = append(errs, fmt.Errorf("field %q: a device of this protocol has none", "device_password"))
	}
	if (s.Username == "") != s.Password.IsZero() {
		errs = append(errs, fmt.Errorf("field %q: username and password belong together", "password"))
	}
	if s.Addr.IsValid() && !(s.Addr.Is4() && s.Addr.IsLoopback()) {
		errs = append(errs, fmt.Errorf("field %q: %s is not in 127.0.0.0/8", "addr", s.Addr))
	}
	if len(s.Name) > 63 ||
		strings.ContainsFunc(s.Name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		errs = append(errs, fmt.Errorf("field %q: want at most 63 bytes of text without control characters", "name"))
	}
	return errors.Join(errs...)
}
