package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// readSecretFile reads a password or passphrase from a file. A file that everybody may read is refused. A group may
// read it: the file of a systemd credential has such a mode. A name without a folder is that of a credential, where the
// unit has one of that name.
func readSecretFile(what, path string) (home.Secret, error) {
	op := "read the " + what
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && filepath.Base(path) == path {
		if credential := filepath.Join(dir, path); exists(credential) {
			path = credential
		}
	}
	st, err := os.Stat(path)
	var raw []byte
	if err == nil {
		raw, err = os.ReadFile(path)
	}
	switch {
	case err != nil:
		return home.Secret{}, &home.Error{Op: op, Err: err, Hint: "see that this user may read the file"}
	case st.Mode().IsRegular() && st.Mode().Perm()&0o006 != 0:
		return home.Secret{}, &home.Error{
			Op: op, Err: fmt.Errorf("everybody may read or write %s", path),
			Hint: "if it is still secret, run: chmod 0600 " + path + "; else choose another",
		}
	}
	s := strings.TrimRight(string(raw), "\r\n")
	if s == "" {
		return home.Secret{}, &home.Error{Op: op, Err: fmt.Errorf("%s is empty", path)}
	}
	return home.NewSecret(s), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// userURLs are the values of one flag: URLs that may name a user, whose password is in a file that another flag names.
type userURLs struct {
	flag, fileFlag string
	urls           []string
	file           string
}

// check returns an error for flags that are wrong. A password in a URL is refused: other users can read the arguments
// of a process.
func (u userURLs) check() error {
	users := 0
	for _, s := range u.urls {
		parsed, err := url.Parse(s)
		if err != nil || parsed.User == nil {
			continue // who reads it reports an error
		}
		users++
		if _, has := parsed.User.Password(); has {
			return fmt.Errorf("--%s: other users of this machine can see a password in an argument; leave it out of the URL, "+
				"and put it into a file that --%s names", u.flag, u.fileFlag)
		}
	}
	if u.file != "" && users == 0 {
		return fmt.Errorf("--%s: --%s names no user, as in USER@HOST", u.fileFlag, u.flag)
	}
	return nil
}

// read returns the URLs with the password of the file in those that name a user.
func (u userURLs) read() ([]string, error) {
	if u.file == "" {
		return u.urls, nil
	}
	password, err := readSecretFile(strings.ReplaceAll(strings.TrimSuffix(u.fileFlag, "-file"), "-", " "), u.file)
	if err != nil {
		return nil, err
	}
	// An editor's byte order mark, or UTF-16, is no part of it.
	line, err := newLines(strings.NewReader(password.Reveal())).next()
	if err != nil || line == "" {
		return nil, &home.Error{Op: "read the password", Err: fmt.Errorf("the first line of %s is empty", u.file)}
	}
	all := make([]string, len(u.urls))
	for i, s := range u.urls {
		all[i] = s
		if parsed, err := url.Parse(s); err == nil && parsed.User != nil {
			parsed.User = url.UserPassword(parsed.User.Username(), line)
			all[i] = parsed.String()
		}
	}
	return all, nil
}

// noSecretArgument is the error of a command that got its secret as an argument. It does not repeat it.
func noSecretArgument(command, secret string) error {
	return errors.New("other users of this machine can see an argument, and " + secret + " is a secret: run " + command +
		" and paste it when you are asked, or give it on standard input with: " + command + " --stdin")
}
