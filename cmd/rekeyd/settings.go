package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// systemConfig is the configuration file of a machine. Everybody may read it: no setting is a secret.
const systemConfig = "/etc/rekeyd.conf"

// envPrefix begins the environment variables that are settings: REKEYD_BROKER_LISTEN for --broker-listen.
const envPrefix = "REKEYD_"

// typedOnly are options with a value that belong to one command line.
var typedOnly = []string{"config", "help", "limit", "count", "house", "username", "password"}

// switches are the options without a value that are settings. The others are orders or consents, which are given each
// time.
var switches = []string{"verbose", "json", "wide"}

// isSetting reports whether an option can be set in the environment and in the configuration file.
func isSetting(f *pflag.Flag) bool {
	if f.Value.Type() == "bool" {
		return slices.Contains(switches, f.Name)
	}
	return !f.Hidden && !slices.Contains(typedOnly, f.Name)
}

// settingsOf returns the names of all settings, of every command.
func settingsOf(root *cobra.Command) []string {
	var names []string
	add := func(f *pflag.Flag) {
		if isSetting(f) && !slices.Contains(names, f.Name) {
			names = append(names, f.Name)
		}
	}
	root.PersistentFlags().VisitAll(add)
	all := root.Commands()
	for len(all) > 0 {
		all[0].Flags().VisitAll(add)
		all = append(all[1:], all[0].Commands()...)
	}
	slices.Sort(names)
	return names
}

// setting is an option's values outside the command line.
type setting struct {
	values []string
	place  string // for errors
	list   bool   // a value holds all of a list, separated by blanks
}

// applySettings sets the options of c that its command line leaves out: from the environment, else from the
// configuration file, else they keep their default.
func applySettings(c *cobra.Command) error {
	known := settingsOf(c.Root())
	env, err := environment(os.Environ(), known)
	if err != nil {
		return settingsError(c, err)
	}
	file, err := configuration(c, known)
	if err != nil {
		return settingsError(c, err)
	}
	var errs []error
	c.Flags().VisitAll(func(f *pflag.Flag) {
		s, ok := env[f.Name]
		if !ok {
			s, ok = file[f.Name]
		}
		if !ok || f.Changed || !isSetting(f) {
			return
		}
		switch _, list := f.Value.(pflag.SliceValue); {
		case list && s.list:
			s.values = strings.Fields(s.values[0])
		case !list && len(s.values) > 1:
			errs = append(errs, fmt.Errorf("%s: %s is given twice", s.place, f.Name))
			return
		}
		for _, v := range s.values {
			if err := c.Flags().Set(f.Name, v); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", s.place, err))
				return
			}
		}
	})
	return settingsError(c, errors.Join(errs...))
}

func settingsError(c *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	return terminal.Usage(c, err)
}

// environment returns the settings in the environment. A variable that resembles none is left to other programs.
func environment(environ, known []string) (map[string]setting, error) {
	found := map[string]setting{}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		key, ours := strings.CutPrefix(name, envPrefix)
		if !ours || name == envPrefix+"CONFIG" {
			continue
		}
		option := strings.ReplaceAll(strings.ToLower(key), "_", "-")
		err := checkKey(option, known, func(s string) string {
			return envPrefix + strings.ToUpper(strings.ReplaceAll(s, "-", "_"))
		})
		switch {
		case errors.Is(err, errUnknownKey):
		case err != nil:
			return nil, fmt.Errorf("environment: %w", err)
		case value != "":
			found[option] = setting{values: []string{value}, place: name, list: true}
		}
	}
	return found, nil
}

// checkKey returns an error for a key that is no setting, with the nearest that is one; write spells a setting at that
// place. A secret is refused with the reason.
func checkKey(key string, known []string, write func(string) string) error {
	if slices.Contains(known, key) {
		return nil
	}
	for _, secret := range []string{"password", "passphrase", "pairing", "token"} {
		if strings.HasSuffix(key, secret) {
			return fmt.Errorf("%s: a secret is no setting: others can read it here; put it into a file of its own", write(key))
		}
	}
	if near := home.Similar(key, known); near != "" {
		return fmt.Errorf("%s is no setting; did you mean %s?", write(key), write(near))
	}
	return fmt.Errorf("%s %w", write(key), errUnknownKey)
}

// errUnknownKey is the error of a key that resembles no setting.
var errUnknownKey = errors.New("is no setting; see the options in: rekeyd run --help")

// configFile returns the path of the configuration file; empty for none. A file that was named must be there.
func configFile(c *cobra.Command) (path string, named bool) {
	if f := c.Flag("config"); f != nil && f.Changed {
		return f.Value.String(), true
	}
	if path, set := os.LookupEnv(envPrefix + "CONFIG"); set {
		return path, path != ""
	}
	if dir, err := os.UserConfigDir(); err == nil && os.Geteuid() != 0 {
		own := filepath.Join(dir, "rekeyd.conf")
		if _, err := os.Stat(own); err == nil {
			return own, false
		}
	}
	return systemConfig, false
}

// configuration reads the configuration file: a setting a line, KEY = VALUE, with the name of the option as the key. A
// list has a line for each value. Lines that begin with # are comments.
func configuration(c *cobra.Command, known []string) (map[string]setting, error) {
	path, named := configFile(c)
	if path == "" {
		return nil, nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil, nil
	}
	if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o002 != 0 {
		err = fmt.Errorf("everybody may write to %s: run: chmod o-w %s", path, path)
	}
	var raw []byte
	if err == nil {
		raw, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, err
	}
	found := map[string]setting{}
	for l := newLines(strings.NewReader(string(raw))); ; {
		line, err := l.next()
		if err != nil {
			return found, nil // io.EOF
		}
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		place := fmt.Sprintf("%s, line %d", path, l.n)
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || value == "" {
			return nil, fmt.Errorf("%s: want KEY = VALUE", place)
		}
		if err := checkKey(key, known, func(s string) string { return s }); err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		s := found[key]
		found[key] = setting{values: append(s.values, value), place: place}
	}
}
