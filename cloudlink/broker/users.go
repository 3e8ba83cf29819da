package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/atomicfile"
)

// UserFile keeps the MQTT users of a house: a line for each, the name, a colon, and the hash of the password in PHC
// form. It is authoritative: a running broker reads it again after a change.
type UserFile struct {
	path string

	mu     sync.Mutex // guards the fields below
	looked time.Time
	stamp  string // of the file that users was read from
	users  map[string]string

	hasher Hasher
}

// Hasher hashes passwords, a bounded number at once. Verify takes as long for an empty hash, which matches no password.
type Hasher interface {
	Hash(ctx context.Context, password string) (phc string, err error)
	Verify(ctx context.Context, phc, password string) (ok, outdated bool, err error)
}

// usersHeader begins the file.
const usersHeader = "# rekeyd MQTT users, format 1\n"

// MinUserPassword is the least length of a password that an owner chooses.
const MinUserPassword = 12

// NewUserFile returns the users in the file at path, which need not exist yet.
func NewUserFile(path string, h Hasher) *UserFile { return &UserFile{path: path, hasher: h} }

// CheckUserName returns an error for a name that no user may have: names of members, and that of the hub's own
// connection, mean somebody else.
func CheckUserName(name string) error {
	valid := len(name) <= 64 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	})
	switch wire.Role(role(name)) {
	case wire.RoleHub, wire.RoleDevice, wire.RoleService:
		valid = false
	}
	if name == "" || name == Publisher || !valid {
		return fmt.Errorf("user %q: want 1 to 64 of a-z, A-Z, 0-9, '-', '_' and '.', not %s, and no hub-, rk-, svc- first",
			name, Publisher)
	}
	return nil
}

// Add adds a user, or gives one that exists another password.
func (f *UserFile) Add(ctx context.Context, name string, password home.Secret) error {
	if err := CheckUserName(name); err != nil {
		return err
	}
	if len(password.Reveal()) < MinUserPassword {
		return fmt.Errorf("password of %s: want %d characters or more", name, MinUserPassword)
	}
	phc, err := f.hasher.Hash(ctx, password.Reveal())
	if err != nil {
		return err
	}
	return f.change(func(users map[string]string) error {
		users[name] = phc
		return nil
	})
}

// Remove removes a user; home.ErrNotFound where there is none of that name. A broker that runs delivers nothing more to
// the user within a second.
func (f *UserFile) Remove(name string) error {
	return f.change(func(users map[string]string) error {
		if _, ok := users[name]; !ok {
			return fmt.Errorf("user %s: %w", name, home.ErrNotFound)
		}
		delete(users, name)
		return nil
	})
}

// Names returns the names of all users, sorted.
func (f *UserFile) Names() ([]string, error) {
	users, err := f.read()
	return slices.Sorted(maps.Keys(users)), err
}

// Known is Users.
func (f *UserFile) Known(name string) bool {
	_, ok := f.current()[name]
	return ok
}

// Verify is Users.
func (f *UserFile) Verify(name, password string) bool {
	ctx, stop := context.WithTimeout(context.Background(), connectTimeout)
	defer stop()
	ok, _, err := f.hasher.Verify(ctx, f.current()[name], password)
	return ok && err == nil
}

// lookEvery is how long a read of the file counts.
const lookEvery = time.Second

// current returns the users as the file has them. A file that cannot be read has none.
func (f *UserFile) current() map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.looked) >= lookEvery || f.looked.IsZero() {
		f.looked = now
		st, err := os.Stat(f.path)
		stamp := ""
		if err == nil {
			stamp = fmt.Sprint(st.ModTime().UnixNano(), st.Size())
		}
		if stamp == "" || stamp != f.stamp {
			f.users, _ = f.read()
			f.stamp = stamp
		}
	}
	return f.users
}

// read returns the users; none where there is no file.
func (f *UserFile) read() (map[string]string, error) {
	users := map[string]string{}
	raw, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return users, nil
	}
	if err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(raw, []byte(usersHeader))
	if !ok {
		return nil, &home.Error{
			Op:   "read " + f.path,
			Err:  fmt.Errorf("it does not begin with %q: %w", strings.TrimSpace(usersHeader), home.ErrCorrupt),
			Hint: "move the file away, and add the users again with: rekeyd mqtt-user add NAME",
		}
	}
	for line := range strings.Lines(string(rest)) {
		if name, phc, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && CheckUserName(name) == nil {
			users[name] = phc
		}
	}
	return users, nil
}

// change replaces the file. Two changes at once are the owner's at two terminals: the last one counts.
func (f *UserFile) change(do func(map[string]string) error) error {
	users, err := f.read()
	if err == nil {
		err = do(users)
	}
	if err != nil {
		return err
	}
	text := usersHeader
	for _, name := range slices.Sorted(maps.Keys(users)) {
		text += name + ":" + users[name] + "\n"
	}
	if err := atomicfile.Write(f.path, []byte(text), 0o600); err != nil {
		return err
	}
	return f.sameOwner()
}
