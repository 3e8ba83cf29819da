package mail

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Folder is a Mailer that writes each mail into a folder, as an .eml file, for a house without a mail server.
type Folder struct {
	Dir  string
	From string // address
}

// Send writes the file; it is there whole or not at all.
func (f Folder) Send(_ context.Context, m Mail) error {
	msg, err := letter(f.From, m, true)
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	tmp, err := os.CreateTemp(f.Dir, ".mail-*") // 0600
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	_, err = tmp.Write(msg)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(f.Dir, m.ID+".eml"))
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("mail: %w", err)
	}
	return nil
}
