package home

import (
	"net"
	"net/http"
	"slices"
	"strings"
)

// HostOf returns the name or address by which a request was sent here, without its port.
func HostOf(r *http.Request) string {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
}

// OwnHost reports whether a host is this machine: an address, "localhost", or one of its names. A page of another site
// whose name is made to resolve to an address of this machine (DNS rebinding) has none of these. Without this check its
// scripts read pages and call the API through a visitor's browser, also where the port is on loopback only.
func OwnHost(host string, names ...string) bool {
	same := func(name string) bool { return name != "" && strings.EqualFold(host, name) }
	return host == "localhost" || net.ParseIP(host) != nil || slices.ContainsFunc(names, same)
}

// MachineNames returns the names of a machine with this host name: as it is, its first label, and that in ".local", by
// which mDNS finds it (RFC 6762). No site on the Internet can have the last two.
func MachineNames(hostname string) []string {
	if hostname == "" {
		return nil
	}
	label, _, _ := strings.Cut(hostname, ".")
	return []string{hostname, label, label + ".local"}
}
