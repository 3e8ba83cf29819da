package discover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// Bounds of the targets: a question to each of their addresses goes out in every sweep.
const (
	minTargetBits = 22   // of a subnet's prefix
	maxTargets    = 4096 // addresses in all; a name counts as one
	maxNamed      = 16   // addresses of one name
)

// Target is a place where devices are that no broadcast reaches: an IPv4 address, a subnet, or a host name. It is
// probed in every sweep, and replies and announcements with its addresses are accepted. They are hints as all
// sightings are.
type Target struct {
	prefix netip.Prefix // of an address with all of its bits
	name   string       // resolved in every sweep; empty for an address or a subnet
}

// ParseTarget reads "10.20.0.5", "10.20.0.0/24" or "plug.lan".
func ParseTarget(text string) (Target, error) {
	bad := func(want string) (Target, error) { return Target{}, fmt.Errorf("target %q: want %s", text, want) }
	if a, err := netip.ParseAddr(text); err == nil {
		if !a.Is4() || a.IsMulticast() || a.IsUnspecified() {
			return bad("an IPv4 address of a device")
		}
		return Target{prefix: netip.PrefixFrom(a, 32)}, nil
	}
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		if err != nil || !p.Addr().Is4() || p.Addr().IsMulticast() || p.Bits() < minTargetBits {
			return bad(fmt.Sprintf("an IPv4 subnet of /%d or smaller", minTargetBits))
		}
		return Target{prefix: p}, nil
	}
	if !hostName(text) {
		return bad("an IPv4 address, a subnet or a host name")
	}
	return Target{name: text}, nil
}

// hostName reports whether s can be the name of a host (RFC 1123, 2.1).
func hostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool {
				return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
			}) {
			return false
		}
	}
	return true
}

// String returns the target as it was given.
func (t Target) String() string {
	switch {
	case t.name != "":
		return t.name
	case t.prefix.IsSingleIP():
		return t.prefix.Addr().String()
	}
	return t.prefix.String()
}

func (t Target) size() int {
	if t.name != "" {
		return 1
	}
	return 1 << (32 - t.prefix.Bits())
}

var errManyTargets = fmt.Errorf("more than %d addresses are targets", maxTargets)

// checkTargets checks that the targets are not more than the limits allow.
func checkTargets(all []Target) error {
	n := 0
	for _, t := range all {
		if t == (Target{}) {
			return errors.New("a target without address or name")
		}
		if n += t.size(); n > maxTargets {
			return errManyTargets
		}
	}
	return nil
}

// targets are those of one Run, with the addresses of the named ones.
type targets struct {
	all   []Target
	count func(string)

	mu    sync.Mutex // guards named; never held over I/O
	named map[string][]netip.Addr
}

// resolve asks for the addresses of the names until ctx ends. A name keeps its last addresses while it cannot be
// resolved.
func (t *targets) resolve(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for _, target := range t.all {
		if target.name == "" {
			continue
		}
		all.Go(func() {
			found, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", target.name)
			if err != nil || len(found) == 0 {
				t.count("target that is not resolved")
				return
			}
			for i := range found {
				found[i] = found[i].Unmap()
			}
			t.mu.Lock()
			defer t.mu.Unlock()
			t.named[target.name] = found[:min(len(found), maxNamed)]
		})
	}
}

// addrs returns every address to be probed.
func (t *targets) addrs() (all []netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, target := range t.all {
		p := target.prefix
		if target.name != "" {
			all = append(all, t.named[target.name]...)
			continue
		}
		for a := p.Masked().Addr(); p.Contains(a); a = a.Next() {
			network := p.Bits() < 31 && (a == p.Masked().Addr() || a == broadcast(p))
			if !network {
				all = append(all, a)
			}
		}
	}
	return all
}

// single returns the addresses of the targets that are a single address or a name.
func (t *targets) single() (all []netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, target := range t.all {
		switch {
		case target.name != "":
			all = append(all, t.named[target.name]...)
		case target.prefix.IsSingleIP():
			all = append(all, target.prefix.Addr())
		}
	}
	return all
}

// contain reports whether a is an address of a target.
func (t *targets) contain(a netip.Addr) bool {
	a = a.Unmap()
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.all, func(target Target) bool {
		if target.name != "" {
			return slices.Contains(t.named[target.name], a)
		}
		return target.prefix.Contains(a)
	})
}
