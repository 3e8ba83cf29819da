package devices

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// classes are the kinds of keys, strongest first. Never changed.
var classes = []string{"rk", "mac", "iot", "hap", "matter", "mdns", "nc"}

// maxKeys and maxKey bound the cost of one sighting.
const (
	maxKeys = 16
	maxKey  = 400
)

// rank returns the position of the key's class: 0 for the strongest.
func rank(k string) int {
	class, _, _ := strings.Cut(k, ":")
	if i := slices.Index(classes, class); i >= 0 {
		return i
	}
	return len(classes)
}

func compareKeys(a, b string) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a, b)) }

// cleanKeys returns keys strongest first and without doubles. It drops texts that are no keys.
func cleanKeys(keys []string) []string {
	out := make([]string, 0, len(keys))
	for _, k := range keys {
		if _, rest, ok := strings.Cut(k, ":"); ok && rest != "" && len(k) <= maxKey {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, compareKeys)
	out = slices.Compact(out)
	return out[:min(len(out), maxKeys)]
}

// idOf returns the name that a device has by this key: [a-z0-9-] only.
func idOf(k string) home.DeviceID {
	class, rest, _ := strings.Cut(k, ":")
	rest = strings.ToLower(rest)
	switch class {
	case "rk":
		rest = strings.TrimPrefix(rest, "rk-")
	case "hap":
		rest = strings.ReplaceAll(rest, ":", "")
	case "nc": // an address
		rest = strings.NewReplacer(".", "-", ":", "-").Replace(rest)
	case "mac", "iot":
	default:
		class, rest = "mdns", short(k)
	}
	if rest == "" || len(rest) > 100 || strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		rest = short(k)
	}
	return home.DeviceID(class + "-" + rest)
}

func short(k string) string {
	sum := sha256.Sum256([]byte(k))
	return hex.EncodeToString(sum[:8])
}
