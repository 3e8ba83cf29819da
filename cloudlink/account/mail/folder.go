package mail

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/rekeyd/rekeyd/localstore/atomicfile"
)

// Folder is a Mailer that writes each mail into a folder, as an .eml file, for a house without a mail server.
type Folder struct {
	Dir  string
	From string       // address
	Log  *slog.Logger // receives the path of each file; nil for none
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
	path := filepath.Join(f.Dir, m.ID+".eml")
	if err := atomicfile.Write(path, msg, 0o600); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	if f.Log != nil {
		f.Log.Info("mail written to a file", "file", path)
	}
	return nil
}
