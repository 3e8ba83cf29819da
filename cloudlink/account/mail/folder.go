package mail

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rekeyd/rekeyd/localstore/atomicfile"
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
	if err := atomicfile.Write(filepath.Join(f.Dir, m.ID+".eml"), msg, 0o600); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	return nil
}
