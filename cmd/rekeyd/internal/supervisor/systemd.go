package supervisor

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rekeyd/rekeyd/localstore/seal"
)

// Setup is how a service manager runs rekeyd.
type Setup struct {
	Binary  string
	Args    []Arg
	NoVault bool // the key of the vault is not a systemd credential: the state has its own, or a passphrase
}

// Arg is an option of rekeyd run.
type Arg struct {
	Name, Value string
	File        bool // Value is a file that the daemon reads at its start
}

// Where things are kept under systemd.
const (
	UnitFile     = "/etc/systemd/system/rekeyd.service"
	KeyFile      = "/etc/rekeyd/" + seal.Credential
	SystemdState = "/var/lib/rekeyd"
)

// The unit's sandbox leaves what rekeyd needs: its state, TCP and UDP (broadcast and multicast included) on every
// interface, netlink, by which Go lists the interfaces, and Unix sockets for the control socket and sd_notify.
// Addresses are not restricted (IPAddressDeny): the house's network has any address, and mail servers and the vendor's
// cloud are elsewhere.
const unit = `# rekeyd: signs every device of a house in again after the account's password was reset.
# Written by: rekeyd install. Options of the daemon: /etc/rekeyd.conf. Change the rest with "systemctl edit rekeyd",
# which keeps this file as it is.
[Unit]
Description=rekeyd, which keeps the devices of this house signed in
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
ExecStart=%s
Restart=on-failure
RestartSec=5
# Ready means that every listener answers. While a port is taken the devices are served all the same, and
# "systemctl status" names the port.
TimeoutStartSec=infinity
# The sign of life comes from the engine's own loop.
WatchdogSec=2min

DynamicUser=yes
StateDirectory=rekeyd
StateDirectoryMode=0700
UMask=0077
%s
# No privileges, and nothing of the machine but the network and the state.
CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
PrivateUsers=yes
PrivateDevices=yes
PrivateTmp=yes
PrivateMounts=yes
DevicePolicy=closed
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
KeyringMode=private
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
`

// Unit returns the systemd unit. Files that the options name become credentials: the daemon's user may not read them
// itself.
func (s Setup) Unit() (string, error) {
	words := []string{unitQuote(s.Binary), "run"}
	var credentials []string
	if !s.NoVault {
		credentials = append(credentials, "LoadCredential="+seal.Credential+":"+KeyFile)
	}
	for _, a := range s.Args {
		if slices.Contains([]string{"state", "mail-dir"}, a.Name) {
			return "", fmt.Errorf("--%s: under systemd rekeyd writes to %s only", a.Name, SystemdState)
		}
		if !a.File {
			words = append(words, unitQuote("--"+a.Name+"="+a.Value))
			continue
		}
		if !filepath.IsAbs(a.Value) || strings.ContainsAny(a.Value, " \t\n:\\\"'%") {
			return "", fmt.Errorf("--%s: want an absolute path without spaces, quotes, colons and percent signs", a.Name)
		}
		credentials = append(credentials, "LoadCredential="+a.Name+":"+a.Value)
		words = append(words, "--"+a.Name+"=${CREDENTIALS_DIRECTORY}/"+a.Name)
	}
	return fmt.Sprintf(unit, strings.Join(words, " "), strings.Join(append(credentials, ""), "\n")), nil
}

// unitQuote quotes a word of ExecStart= (systemd.service(5), "Command lines").
func unitQuote(word string) string {
	word = strings.NewReplacer("%", "%%", "$", "$$", `\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(word)
	if strings.ContainsAny(word, ` '"\;`) {
		return `"` + word + `"`
	}
	return word
}
