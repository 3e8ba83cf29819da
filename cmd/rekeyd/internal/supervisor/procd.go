package supervisor

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Where things are kept on OpenWrt, whose /var is lost at every start.
const (
	ProcdScript  = "/etc/init.d/rekeyd"
	OpenWrtState = "/etc/rekeyd"
)

// The user is made at the start, as no package is installed that would make it.
const procdScript = `#!/bin/sh /etc/rc.common
# rekeyd: signs every device of a house in again after the account's password was reset.
# Written by: rekeyd install.

USE_PROCD=1
START=95
STOP=10

start_service() {
	local gid
	gid="$(group_add_next rekeyd)"
	user_exists rekeyd || user_add rekeyd "" "$gid" rekeyd %[1]s /bin/false
	mkdir -p %[1]s
	chmod 0700 %[1]s
	chown -R rekeyd:rekeyd %[1]s

	procd_open_instance
	procd_set_param command %[2]s
	procd_set_param user rekeyd
	procd_set_param group rekeyd
	procd_set_param no_new_privs 1
	procd_set_param respawn 3600 5 0
	procd_set_param term_timeout 20
	procd_set_param stdout 1
	procd_set_param stderr 1
	procd_close_instance
}
`

// Procd returns the init script of OpenWrt.
func (s Setup) Procd() (string, error) {
	words := []string{ShellQuote(s.Binary), "run", "--state=" + OpenWrtState}
	for _, a := range s.Args {
		if a.Name == "state" {
			return "", fmt.Errorf("--state: on OpenWrt rekeyd keeps its state in %s", OpenWrtState)
		}
		if a.File && !filepath.IsAbs(a.Value) {
			return "", fmt.Errorf("--%s: want an absolute path", a.Name)
		}
		path := a.File || a.Name == "mail-dir"
		if path && (strings.HasPrefix(a.Value, "/tmp/") || strings.HasPrefix(a.Value, "/var/")) {
			return "", fmt.Errorf("--%s: on OpenWrt %s is lost when the router restarts", a.Name, a.Value)
		}
		words = append(words, ShellQuote("--"+a.Name+"="+a.Value))
	}
	return fmt.Sprintf(procdScript, OpenWrtState, strings.Join(words, " ")), nil
}

// ShellQuote quotes a word for the shell, if it needs that.
func ShellQuote(word string) string {
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-") == "" && word != "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
