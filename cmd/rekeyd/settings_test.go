package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestNoSettingIsASecretOrAConsent reads every option of every command. An option that is new has to be one or the
// other: a value is a setting, and a switch is given each time unless it is listed.
func TestNoSettingIsASecretOrAConsent(t *testing.T) {
	root := newRoot()
	all := settingsOf(root)
	for _, name := range []string{"state", "interface", "broker-listen", "account-url", "passphrase-file", "json"} {
		if !slices.Contains(all, name) {
			t.Errorf("%s is no setting", name)
		}
	}
	for _, name := range []string{
		"yes", "all", "later", "allow-cleartext-bind", "exposed", "password-stdin", "stdin", "replace", "config", "help",
	} {
		if slices.Contains(all, name) {
			t.Errorf("%s is a setting", name)
		}
	}
	for _, name := range all {
		for _, secret := range []string{"password", "passphrase", "pairing", "token"} {
			if strings.HasSuffix(name, secret) {
				t.Errorf("the option --%s takes a secret", name)
			}
		}
	}
}

// TestEverySettingHasOneTypeInAllCommands holds that a setting means the same wherever it is read.
func TestEverySettingHasOneTypeInAllCommands(t *testing.T) {
	types := map[string]string{}
	all := newRoot().Commands()
	for len(all) > 0 {
		c := all[0]
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !isSetting(f) {
				return
			}
			if before, ok := types[f.Name]; ok && before != f.Value.Type() {
				t.Errorf("--%s is a %s in %s, and a %s elsewhere", f.Name, f.Value.Type(), c.CommandPath(), before)
			}
			types[f.Name] = f.Value.Type()
		})
		all = append(all[1:], c.Commands()...)
	}
}
